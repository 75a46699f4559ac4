"""What layers say to an input, or a gradient, of a wrong kind, dtype or shape."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith import nn


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 3, 1), (1, 2, 2, 2)),
        (nn.ConvTranspose2d(2, 3, 1), (1, 2, 2, 2)),
        (nn.Linear(4, 3), (2, 4)),
        (nn.BatchNorm1d(4), (2, 4)),
        (nn.BatchNorm2d(4), (2, 1, 1, 4)),
    ],
    ids=str,
)
def test_an_input_of_another_dtype(layer: nn.Layer, shape: tuple[int, ...]) -> None:
    wanted = r"x: got float64, wanted float32 as the weights have; pass x\.astype\('float32'\)"
    with pytest.raises(TypeError, match=wanted):
        layer(np.ones(shape))
    with pytest.raises(TypeError, match="x: got uint8, wanted float32"):
        nn.Sequential(layer)(np.ones(shape, np.uint8))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 1),
        nn.Linear(4, 3),
        nn.BatchNorm1d(4),
        nn.MaxPool2d(2),
        nn.GlobalAvgPool2d(),
        nn.Upsample(2),
        nn.Flatten(),
        nn.ReLU(),
    ],
    ids=str,
)
def test_an_input_that_is_no_array(layer: nn.Layer) -> None:
    with pytest.raises(TypeError, match=r"x: got a builtins\.list, wanted a numpy\.ndarray"):
        layer([[1.0, 2.0]])
    with pytest.raises(TypeError, match="x: got a builtins"):
        layer(None)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x: got a torch\.Tensor, wanted a numpy\.ndarray"):
        layer(torch.ones(2, 4))


def test_dtypes_of_layers_are_floating() -> None:
    for make in (
        lambda dtype: nn.Conv2d(1, 2, 3, dtype=dtype),
        lambda dtype: nn.ConvTranspose2d(1, 2, 3, dtype=dtype),
        lambda dtype: nn.Linear(1, 2, dtype=dtype),
        lambda dtype: nn.BatchNorm2d(2, dtype=dtype),
    ):
        for dtype in (int, "complex64", "longdouble", "bool"):
            with pytest.raises(TypeError, match=r"dtype: got .*, wanted float32"):
                make(dtype)


def test_linear_backward_checks_dy() -> None:
    layer = nn.Linear(4, 3)
    _, cache = layer.forward(np.ones((2, 5, 4), np.float32), training=True)
    for shape in ((10, 3), (2, 5, 4), (2, 3, 5), (5, 2, 3)):
        with pytest.raises(ValueError, match="dy: got shape"):
            layer.backward(np.ones(shape, np.float32), cache)
    assert layer.weight.grad is None
