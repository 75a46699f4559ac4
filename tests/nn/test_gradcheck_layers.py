"""Every layer, container and loss against central differences in float64."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import convsmith
from convsmith import nn
from convsmith.testing import gradcheck, gradcheck_loss


def normal(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape)


def distinct(*shape: int) -> Any:
    """No two values closer than 0.01, so that no maximum changes hands under a small nudge."""
    size = int(np.prod(shape))
    return (np.random.default_rng(1).permutation(size) - size / 2 + 0.5).reshape(shape) * 0.01


def frozen_batch_norm() -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(3)
    layer.running_mean[...] = [0.1, -0.2, 0.3]
    layer.running_var[...] = [0.5, 1.5, 2.5]
    layer.frozen = True
    return layer


def shared_graph() -> nn.Graph:
    """One convolution and one normalisation used twice, a diamond, and a tuple of inputs."""
    conv = nn.Conv2d(3, 3, 3, padding=1)
    norm = nn.BatchNorm2d(3)
    return nn.Graph(
        {
            "first": (conv, "x"),
            "norm1": (norm, "first"),
            "act": (nn.Tanh(), "norm1"),
            "second": (conv, "act"),
            "norm2": (norm, "second"),
            "sum": (nn.Add(), "norm2", "act", "x"),
            "both": (nn.Concatenate(), "sum", "first"),
            "head": (nn.Conv2d(6, 2, 1), "both"),
        },
        inputs="x",
        outputs="head",
    )


def two_way_graph() -> nn.Graph:
    """Two inputs, two outputs, one of which also feeds a node."""
    return nn.Graph(
        {
            "low": (nn.Conv2d(2, 3, 3, stride=2, padding=1), "a"),
            "up": (nn.Upsample(scale_factor=2, mode="bilinear"), "low"),
            "join": (nn.Concatenate(), "up", "b"),
            "out": (nn.Conv2d(5, 2, 1), "join"),
        },
        inputs=("a", "b"),
        outputs=("out", "low"),
    )


LAYERS: dict[str, tuple[Any, Any]] = {
    "conv2d": (lambda: nn.Conv2d(3, 4, 3), normal(2, 5, 6, 3)),
    "conv2d no bias": (lambda: nn.Conv2d(3, 4, 2, bias=False), normal(2, 4, 4, 3)),
    "conv2d stride, padding, dilation": (
        lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        normal(2, 7, 6, 2),
    ),
    "conv2d uneven padding": (
        lambda: nn.Conv2d(2, 3, 3, padding=((0, 2), (1, 0))),
        normal(1, 5, 5, 2),
    ),
    "conv2d same": (lambda: nn.Conv2d(2, 3, 4, stride=3, padding="same"), normal(2, 7, 8, 2)),
    "conv2d stride beyond kernel": (lambda: nn.Conv2d(2, 3, 2, stride=3), normal(2, 7, 8, 2)),
    "conv2d groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), normal(2, 5, 5, 4)),
    "conv2d depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1), normal(2, 4, 4, 4)),
    "transpose": (lambda: nn.ConvTranspose2d(3, 4, 3), normal(2, 4, 5, 3)),
    "transpose all arguments": (
        lambda: nn.ConvTranspose2d(
            4, 6, 3, stride=(2, 3), padding=1, output_padding=(1, 2), groups=2, dilation=2
        ),
        normal(2, 3, 4, 4),
    ),
    "transpose same": (
        lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, padding="same", bias=False),
        normal(2, 3, 4, 2),
    ),
    "linear": (lambda: nn.Linear(5, 4), normal(3, 5)),
    "linear no bias": (lambda: nn.Linear(5, 4, bias=False), normal(3, 5)),
    "linear rank 4": (lambda: nn.Linear(3, 4), normal(2, 2, 3, 3)),
    "linear rank 1": (lambda: nn.Linear(3, 4), normal(3)),
    "flatten": (nn.Flatten, normal(2, 3, 4, 2)),
    "identity": (nn.Identity, normal(2, 3)),
    "max pool": (lambda: nn.MaxPool2d(2), distinct(2, 4, 6, 3)),
    "max pool overlap": (
        lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        distinct(2, 6, 5, 2),
    ),
    "max pool dilation": (lambda: nn.MaxPool2d(2, stride=1, dilation=2), distinct(1, 5, 5, 2)),
    "avg pool": (lambda: nn.AvgPool2d(3, stride=2, padding=1), normal(2, 6, 5, 3)),
    "avg pool without padding": (
        lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        normal(2, 6, 5, 3),
    ),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((3, 2)), normal(2, 7, 5, 3)),
    "global avg": (nn.GlobalAvgPool2d, normal(2, 4, 3, 5)),
    "global max": (nn.GlobalMaxPool2d, distinct(2, 4, 3, 5)),
    "batch norm 2d": (lambda: nn.BatchNorm2d(3), normal(4, 3, 2, 3)),
    "batch norm 1d": (lambda: nn.BatchNorm1d(3), normal(6, 3)),
    "batch norm 1d, length": (lambda: nn.BatchNorm1d(3), normal(2, 4, 3)),
    "batch norm frozen": (frozen_batch_norm, normal(3, 2, 2, 3)),
    "local response norm": (
        lambda: nn.LocalResponseNorm(4, alpha=0.5, beta=0.6, k=1.5),
        normal(2, 2, 3, 7),
    ),
    "relu": (nn.ReLU, distinct(3, 4)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), distinct(3, 4)),
    "sigmoid": (nn.Sigmoid, normal(3, 4)),
    "tanh": (nn.Tanh, normal(3, 4)),
    "silu": (nn.SiLU, normal(3, 4)),
    "hardswish": (nn.Hardswish, normal(3, 4) * 3),
    "activation by name": (lambda: nn.Activation("silu"), normal(3, 4)),
    "softmax": (nn.Softmax, normal(3, 4)),
    "log softmax": (nn.LogSoftmax, normal(2, 3, 4)),
    "dropout": (lambda: nn.Dropout(0.4), normal(4, 5)),
    "dropout none": (lambda: nn.Dropout(0.0), normal(4, 5)),
    "dropout all": (lambda: nn.Dropout(1.0), normal(4, 5)),
    "nearest": (lambda: nn.Upsample(scale_factor=(2, 1.5)), normal(2, 3, 4, 2)),
    "bilinear": (lambda: nn.Upsample(size=(7, 5), mode="bilinear"), normal(2, 3, 4, 2)),
    "bilinear, corners": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        normal(2, 3, 4, 2),
    ),
    "add": (nn.Add, (normal(2, 3), normal(2, 3) + 1, normal(2, 3) * 2)),
    "concatenate": (nn.Concatenate, (normal(2, 2, 2, 3), normal(2, 2, 2, 1))),
    "sequential": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(12, 4),
        ),
        normal(2, 6, 6, 2),
    ),
    "sequential without parameters": (lambda: nn.Sequential(nn.Tanh(), nn.Flatten()), normal(2, 3)),
    "sequential, parameters late": (
        lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Tanh(), nn.Linear(6, 2)), nn.Tanh()),
        normal(2, 2, 3),
    ),
    "sequential, one layer twice": (
        lambda: nn.Sequential(*[nn.Linear(4, 4), nn.Tanh()] * 2),
        normal(3, 4),
    ),
    "sequential, empty": (nn.Sequential, normal(2, 3)),
    "residual": (lambda: nn.Residual(nn.Conv2d(3, 3, 3, padding=1)), normal(2, 4, 4, 3)),
    "residual, shortcut and activation": (
        lambda: nn.Residual(
            nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)),
            nn.Conv2d(2, 4, 1, stride=2),
            nn.SiLU(),
        ),
        normal(2, 5, 5, 2),
    ),
    "residual of identity": (lambda: nn.Residual(nn.Identity()), normal(2, 3)),
    "concat": (
        lambda: nn.Concat(nn.Conv2d(2, 3, 1), nn.Identity(), nn.Conv2d(2, 1, 3, padding=1)),
        normal(2, 4, 4, 2),
    ),
    "graph with shared layers": (shared_graph, normal(2, 4, 4, 3)),
    "graph of two inputs and outputs": (
        two_way_graph,
        {"a": normal(1, 4, 4, 2), "b": normal(1, 4, 4, 2) * 2},
    ),
}

FUSED = ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    make, x = LAYERS[name]
    layer = make()
    report = gradcheck(layer, x)
    assert report.checked > 0
    assert report.worst_error < 0.1, report


@pytest.mark.parametrize("kind", FUSED)
def test_activation_inside_a_layer(kind: str) -> None:
    gradcheck(nn.Conv2d(2, 3, 3, activation=kind), normal(2, 5, 5, 2))
    gradcheck(nn.Linear(4, 3, activation=kind), normal(5, 4))


def test_every_exported_layer_is_checked() -> None:
    def kinds(layer: nn.Layer) -> set[type]:
        return {type(found) for _, found in layer.named_layers()}

    checked = set().union(*(kinds(make()) for make, _ in LAYERS.values()))
    exported = {
        value
        for name in nn.__all__
        if isinstance(value := getattr(nn, name), type) and issubclass(value, nn.Layer)
    }
    assert exported - checked == {nn.Layer}


LABELS = np.array([2, 0, 3, 1, 1])

LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "cross entropy": (nn.cross_entropy, normal(5, 4), LABELS),
    "cross entropy, smoothed": (
        partial(nn.cross_entropy, label_smoothing=0.2),
        normal(5, 4),
        LABELS,
    ),
    "cross entropy of images": (
        nn.cross_entropy,
        normal(2, 2, 3, 4),
        np.arange(12).reshape(2, 2, 3) % 4,
    ),
    "mse": (nn.mse_loss, normal(3, 4), normal(3, 4) * 2),
    "bce": (
        nn.binary_cross_entropy_with_logits,
        normal(3, 4) * 3,
        np.random.default_rng(2).random((3, 4)),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    report = gradcheck_loss(*LOSSES[name])
    assert report.checked == LOSSES[name][1].size
    assert report.worst_error < 0.1, report


class _Wrong(nn.Linear):
    """A Linear whose backward does one thing wrong."""

    def __init__(self, fault: str) -> None:
        super().__init__(4, 3)
        self.fault = fault
        self.calls = 0

    def forward(self, x: Any, training: bool = False) -> Any:
        y, cache = super().forward(x, training)
        if self.fault == "input changed":
            x += 1
        return y, cache

    def backward(self, dy: Any, cache: Any, input_grad: bool = True) -> Any:
        old = 0.0 if self.weight.grad is None else self.weight.grad.copy()
        dx = super().backward(dy, cache, True)
        grad = self.weight.grad
        if self.fault == "scaled":
            grad += 0.01 * (grad - old)
        elif self.fault == "dx":
            dx[0, 0] += 0.01
        elif self.fault == "overwrites":
            self.weight.grad = None
            super().backward(dy, cache, True)
        elif self.fault == "dy changed":
            dy += 1
        elif self.fault == "no gradient":
            self.bias.grad = None  # type: ignore[union-attr]
        elif self.fault == "nan":
            grad[0, 0] = np.nan
        return dx if input_grad or self.fault == "dx returned" else None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("scaled", r"weight\[\d, \d\]: backward gave"),
        ("dx", r"dx\[0, 0\]: backward gave"),
        ("overwrites", "did not add"),
        ("dy changed", "changed in place"),
        ("input changed", "changed in place"),
        ("no gradient", "bias: got no gradient"),
        ("nan", r"weight\[0, 0\]: backward gave nan"),
        ("dx returned", "did not return None"),
    ],
)
def test_gradcheck_finds(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        gradcheck(_Wrong(fault), normal(3, 4))


def test_gradcheck_leaves_the_layer_alone() -> None:
    layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = layer.state_dict()
    gradcheck(layer, normal(5, 4))
    after = layer.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert all(p.grad is None and p.dtype == np.float32 for p in layer.parameters())


def test_gradcheck_of_a_large_array_takes_a_sample() -> None:
    assert gradcheck(nn.Tanh(), normal(50, 50), max_elements=10).checked == 10


class _Small(nn.Layer):
    """x * 1e-5 with half its gradient: an absolute tolerance that is too large passes it."""

    def forward(self, x: Any, training: bool = False) -> Any:
        return x * 1e-5, (() if training else None)

    def backward(self, dy: Any, cache: Any, input_grad: bool = True) -> Any:
        return dy * 0.5e-5 if input_grad else None


def test_gradcheck_sees_errors_of_small_gradients() -> None:
    with pytest.raises(AssertionError, match="dx"):
        gradcheck(_Small(), normal(3, 4))


def test_gradcheck_of_nothing_is_an_error() -> None:
    for layer in (nn.Tanh(), nn.Linear(4, 3)):
        with pytest.raises(ValueError, match="nothing to check"):
            gradcheck(layer, normal(0, 4))
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(nn.Tanh(), normal(3, 4), max_elements=0)
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck_loss(nn.mse_loss, normal(0, 4), normal(0, 4))


def test_gradcheck_is_reached_from_the_package() -> None:
    assert convsmith.testing.gradcheck is gradcheck
    assert "gradcheck" in dir(convsmith.testing)
    with pytest.raises(AttributeError, match="no attribute 'grad'"):
        convsmith.testing.grad  # noqa: B018
