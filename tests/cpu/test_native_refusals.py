"""GEMM and convolution, called past the Python checks, refuse what would corrupt memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convsmith import _cpu
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape

SHAPE = Conv2dShape.infer((2, 5, 6, 4), (8, 3, 3, 4), padding=1)
REST = ("identity", 0.01, "auto")


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def forward(**changes: Any) -> None:
    arguments = {
        "x": floats(*SHAPE.x_shape),
        "weight": floats(*SHAPE.weight_shape),
        "bias": None,
        "residual": None,
        "y": floats(*SHAPE.y_shape),
        "shape": SHAPE,
        "activation": "identity",
        "negative_slope": 0.01,
        "algorithm": "auto",
    }
    _cpu.conv2d_forward(**{**arguments, **changes})


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


BAD_FORWARD = [
    ({"x": floats(2, 5, 6, 3)}, ValueError, r"conv2d_forward: x: got shape \(2, 5, 6, 3\), wanted"),
    ({"x": floats(2, 5, 24)}, ValueError, "conv2d_forward: x: got shape"),
    ({"x": np.ones(SHAPE.x_shape)}, TypeError, "conv2d_forward: x: got dtype float64"),
    ({"x": np.ones(SHAPE.x_shape, ">f4")}, TypeError, "conv2d_forward: x: got dtype"),
    ({"x": floats(2, 5, 12, 4)[:, :, ::2]}, ValueError, "not C-contiguous"),
    ({"weight": floats(8, 3, 3, 2)}, ValueError, "conv2d_forward: weight: got shape"),
    ({"bias": floats(7)}, ValueError, "conv2d_forward: bias: got shape"),
    ({"residual": floats(1)}, ValueError, "conv2d_forward: residual: got shape"),
    ({"y": floats(2, 5, 6, 7)}, ValueError, "conv2d_forward: y: got shape"),
    ({"y": read_only(floats(*SHAPE.y_shape))}, ValueError, "conv2d_forward: y: got a read-only"),
    ({"y": [[1.0]]}, TypeError, "incompatible function arguments"),
    ({"activation": "gelu"}, ValueError, "activation: got 'gelu'"),
    ({"algorithm": "fft"}, ValueError, "algorithm: got 'fft'"),
    ({"shape": (2, 5, 6, 4)}, TypeError, "incompatible function arguments"),
    ({"shape": None}, TypeError, "incompatible function arguments"),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD_FORWARD)
def test_forward_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    forward()  # what is changed is all that is wrong
    with pytest.raises(error, match=message):
        forward(**changes)


BAD_GEOMETRY = [
    {"stride_h": 0},
    {"stride_w": -1},
    {"dilation_h": 0},
    {"groups": 0},
    {"groups": 3},
    {"out_h": 6},
    {"out_w": 0},
    {"in_c": 0},
    {"kernel_h": 0},
    {"pad_top": -1},
    {"batch": -1},
    {"batch": 2**40},
    {"dilation_w": 2**62},
    {"dilation_h": 2**31 - 1, "kernel_h": 2**31 - 1},
    {"stride_h": 2**63},
    {"in_h": 2**200},
    {"in_h": 2.5},
]


@pytest.mark.parametrize("changes", BAD_GEOMETRY, ids=str)
def test_an_inconsistent_geometry_is_refused(changes: dict[str, Any]) -> None:
    shape = replace(SHAPE, **changes)
    x, weight, y = (floats(*s) for s in (SHAPE.x_shape, SHAPE.weight_shape, SHAPE.y_shape))
    for call in (
        lambda: _cpu.conv2d_forward(x, weight, None, None, y, shape, *REST),
        lambda: _cpu.conv2d_backward_input(y, weight, x, shape, "auto"),
        lambda: _cpu.conv2d_backward_weight(x, y, weight, shape, "auto"),
    ):
        with pytest.raises((ValueError, TypeError), match=r"Conv2dShape|incompatible|integer"):
            call()


def test_backward_directions_refuse() -> None:
    x, weight, dy = (floats(*s) for s in (SHAPE.x_shape, SHAPE.weight_shape, SHAPE.y_shape))
    with pytest.raises(ValueError, match="conv2d_backward_input: dy: got shape"):
        _cpu.conv2d_backward_input(x, weight, x, SHAPE, "auto")
    with pytest.raises(ValueError, match="conv2d_backward_input: dx: got a read-only"):
        _cpu.conv2d_backward_input(dy, weight, read_only(x.copy()), SHAPE, "auto")
    with pytest.raises(ValueError, match="conv2d_backward_weight: dweight: got shape"):
        _cpu.conv2d_backward_weight(x, dy, x, SHAPE, "auto")
    with pytest.raises(ValueError, match="conv2d_backward_bias: dbias: got shape"):
        _cpu.conv2d_backward_bias(dy, floats(9))
    with pytest.raises(ValueError, match="conv2d_backward_bias: dy: got a scalar"):
        _cpu.conv2d_backward_bias(np.ones((), np.float32), floats(1))


def test_gemm_refuses() -> None:
    shape = GemmShape(3, 4, 5, False, True)
    rest = ("identity", 0.01, 1.0, 0.0)
    a, b, c = floats(3, 5), floats(4, 5), floats(3, 4)
    _cpu.gemm(a, b, None, None, c, shape, *rest)
    assert (c == 5).all()
    with pytest.raises(ValueError, match=r"gemm: b: got shape \(5, 4\), wanted \(4, 5\)"):
        _cpu.gemm(a, floats(5, 4), None, None, c, shape, *rest)
    with pytest.raises(ValueError, match="gemm: bias: got shape"):
        _cpu.gemm(a, b, floats(3), None, c, shape, *rest)
    with pytest.raises(ValueError, match="gemm: c: got a read-only"):
        _cpu.gemm(a, b, None, None, read_only(floats(3, 4)), shape, *rest)
    with pytest.raises(TypeError, match="gemm: a: got dtype float64"):
        _cpu.gemm(np.ones((3, 5)), b, None, None, c, shape, *rest)
    with pytest.raises(ValueError, match="GemmShape: gemm_k"):
        _cpu.gemm(a, b, None, None, c, replace(shape, gemm_k=-1), *rest)


def test_an_output_of_its_own_is_wanted() -> None:
    shape = GemmShape(4, 4, 300, False, False)
    a, b, c = floats(4, 300), floats(300, 4), floats(4, 4)
    with pytest.raises(ValueError, match="gemm: c: got an array that shares memory"):
        _cpu.gemm(a, b, None, c, c, shape, "identity", 0.01, 1.0, 0.0)
    same = Conv2dShape.infer((1, 5, 5, 4), (4, 1, 1, 4))
    x, weight = floats(1, 5, 5, 4), floats(4, 1, 1, 4)
    with pytest.raises(ValueError, match="conv2d_forward: y: got an array that shares memory"):
        _cpu.conv2d_forward(x, weight, None, None, x, same, *REST)


def test_labels_that_change_or_overlap_do_no_harm() -> None:
    rows = 4096
    shared = np.zeros(2 * rows, np.float32)
    labels, losses = shared.view(np.int64), shared[rows:]
    logits = np.ones((rows, 3), np.float32)
    _cpu.softmax_cross_entropy(
        logits, labels, losses, np.empty_like(logits), label_smoothing=0.0, scale=1.0
    )
    assert np.allclose(losses, np.log(3))


def test_an_empty_batch_excuses_no_overflow() -> None:
    x = np.empty((0, 1, 2**22, 2**21), np.float32)
    shape = Pool2dShape.infer(x.shape, kernel=1, stride=(2**21, 1))
    _cpu.max_pool2d_forward(x, x.copy(), np.empty(x.shape, np.uint8), shape)
    wide = Pool2dShape.infer((0, 2**28, 1, 1), kernel=1)
    dy = np.empty(wide.y_shape, np.float32)
    _cpu.max_pool2d_backward_input(dy, np.empty(dy.shape, np.uint8), dy.copy(), wide)
    _cpu.conv2d_backward_bias(np.empty((2**32, 0), np.float32), np.empty(0, np.float32))
