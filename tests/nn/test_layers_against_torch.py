"""Layers against torch.nn: results, gradients, and the keys and shapes of the state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convsmith import nn

torch = pytest.importorskip("torch")


def to_torch(array: Any) -> Any:
    """Channels second, from channels last."""
    array = np.asarray(array)
    if array.ndim > 2:
        array = np.moveaxis(array, -1, 1)
    return torch.from_numpy(array.copy())


def from_torch(tensor: Any) -> Any:
    array = tensor.detach().numpy()
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


def copy_state(ours: nn.Layer, theirs: Any) -> None:
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({key: to_torch(value) for key, value in state.items()}, strict=True)


def conv_block() -> tuple[nn.Layer, Any]:
    ours = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.SiLU()),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, groups=2), torch.nn.SiLU()),
    )
    return ours, theirs


T = torch.nn
PAIRS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "conv": (lambda: (nn.Conv2d(3, 5, 3), T.Conv2d(3, 5, 3)), (2, 6, 7, 3)),
    "conv, all arguments": (
        lambda: (
            nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False),
            T.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False),
        ),
        (2, 8, 7, 4),
    ),
    "conv same": (
        lambda: (nn.Conv2d(2, 3, 4, padding="same"), T.Conv2d(2, 3, 4, padding="same")),
        (2, 6, 7, 2),
    ),
    "transpose": (
        lambda: (
            nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 2),
            T.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 2),
        ),
        (2, 4, 5, 4),
    ),
    "linear": (lambda: (nn.Linear(6, 4), T.Linear(6, 4)), (3, 6)),
    "max pool": (
        lambda: (nn.MaxPool2d(3, 2, 1, ceil_mode=True), T.MaxPool2d(3, 2, 1, ceil_mode=True)),
        (2, 8, 7, 3),
    ),
    "avg pool": (
        lambda: (
            nn.AvgPool2d(3, 2, 1, True, False),
            T.AvgPool2d(3, 2, 1, True, False),
        ),
        (2, 8, 7, 3),
    ),
    "adaptive": (
        lambda: (nn.AdaptiveAvgPool2d((3, 2)), T.AdaptiveAvgPool2d((3, 2))),
        (2, 8, 7, 3),
    ),
    "global avg": (
        lambda: (nn.GlobalAvgPool2d(), T.Sequential(T.AdaptiveAvgPool2d(1), T.Flatten())),
        (2, 8, 7, 3),
    ),
    "global max": (
        lambda: (nn.GlobalMaxPool2d(), T.Sequential(T.AdaptiveMaxPool2d(1), T.Flatten())),
        (2, 8, 7, 3),
    ),
    "batch norm 2d": (
        lambda: (nn.BatchNorm2d(5, 1e-3, 0.3), T.BatchNorm2d(5, 1e-3, 0.3)),
        (4, 3, 2, 5),
    ),
    "batch norm, cumulative": (
        lambda: (nn.BatchNorm2d(5, momentum=None), T.BatchNorm2d(5, momentum=None)),
        (4, 3, 2, 5),
    ),
    "batch norm 1d": (lambda: (nn.BatchNorm1d(5), T.BatchNorm1d(5)), (4, 5)),
    "batch norm 1d, length": (lambda: (nn.BatchNorm1d(5), T.BatchNorm1d(5)), (4, 3, 5)),
    "local response norm": (
        lambda: (
            nn.LocalResponseNorm(5, 0.1, 0.6, 2.0),
            T.LocalResponseNorm(5, 0.1, 0.6, 2.0),
        ),
        (2, 3, 3, 9),
    ),
    "relu": (lambda: (nn.ReLU(), T.ReLU()), (3, 4)),
    "leaky relu": (lambda: (nn.LeakyReLU(0.2), T.LeakyReLU(0.2)), (3, 4)),
    "sigmoid": (lambda: (nn.Sigmoid(), T.Sigmoid()), (3, 4)),
    "tanh": (lambda: (nn.Tanh(), T.Tanh()), (3, 4)),
    "silu": (lambda: (nn.SiLU(), T.SiLU()), (3, 4)),
    "hardswish": (lambda: (nn.Hardswish(), T.Hardswish()), (3, 4)),
    "softmax": (lambda: (nn.Softmax(), T.Softmax(1)), (2, 3, 3, 4)),
    "log softmax": (lambda: (nn.LogSoftmax(), T.LogSoftmax(1)), (2, 3, 3, 4)),
    "nearest": (
        lambda: (nn.Upsample(scale_factor=2), T.Upsample(scale_factor=2)),
        (2, 3, 4, 2),
    ),
    "bilinear": (
        lambda: (nn.Upsample((7, 5), mode="bilinear"), T.Upsample((7, 5), mode="bilinear")),
        (2, 3, 4, 2),
    ),
    "bilinear, corners": (
        lambda: (
            nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True),
            T.Upsample(scale_factor=3, mode="bilinear", align_corners=True),
        ),
        (2, 3, 4, 2),
    ),
    "sequential": (conv_block, (3, 8, 8, 3)),
}


def close(ours: Any, theirs: Any) -> None:
    theirs = from_torch(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", PAIRS)
def test_same_as_torch(name: str) -> None:
    make, shape = PAIRS[name]
    ours, theirs = make()
    copy_state(ours, theirs)
    rng = np.random.default_rng(0)
    for _ in range(2):  # twice, so that running statistics and added gradients show
        x = (2 * rng.standard_normal(shape)).astype(np.float32)
        x_torch = to_torch(x).requires_grad_()
        y, cache = ours.forward(x, training=True)
        y_torch = theirs(x_torch)
        close(y, y_torch)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dx = ours.backward(dy, cache)
        y_torch.backward(to_torch(dy))
        close(dx, x_torch.grad)
    for (key, parameter), (key_torch, parameter_torch) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert key == key_torch
        close(parameter.grad, parameter_torch.grad)
    theirs.eval()
    close(ours(x), theirs(x_torch))
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_as_torch(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    for shape in ((5, 7), (2, 3, 3, 4)):
        logits = (30 * rng.standard_normal(shape)).astype(np.float32)
        labels = rng.integers(0, shape[-1], shape[:-1])
        logits_torch = to_torch(logits).requires_grad_()
        loss_torch = torch.nn.functional.cross_entropy(
            logits_torch, torch.from_numpy(labels), label_smoothing=smoothing
        )
        loss_torch.backward()
        loss, dlogits = nn.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert isinstance(loss, float)
        assert loss == pytest.approx(loss_torch.item(), rel=1e-5)
        close(dlogits, logits_torch.grad)


def test_other_losses_as_torch() -> None:
    rng = np.random.default_rng(0)
    logits = (50 * rng.standard_normal((4, 5))).astype(np.float32)
    target = rng.random((4, 5)).astype(np.float32)
    for ours, theirs in (
        (nn.mse_loss, torch.nn.functional.mse_loss),
        (
            nn.binary_cross_entropy_with_logits,
            torch.nn.functional.binary_cross_entropy_with_logits,
        ),
    ):
        logits_torch = torch.from_numpy(logits.copy()).requires_grad_()
        loss_torch = theirs(logits_torch, torch.from_numpy(target))
        loss_torch.backward()
        loss, grad = ours(logits, target)
        assert loss == pytest.approx(loss_torch.item(), rel=1e-5)
        assert grad.dtype == np.float32
        close(grad, logits_torch.grad)
