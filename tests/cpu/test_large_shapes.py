"""Shapes that cross every block size of the GEMM engine, against float64.

The shared cases are small. These have several row blocks, panel blocks and depth blocks, strides
that alias in the cache (rows are copied then), and a weight gradient whose pixels are split.
"""

from __future__ import annotations

import numpy as np
import pytest

from convsmith import _cpu, ops
from convsmith.backends import use_backend
from convsmith.ops.shapes import Conv2dShape

UNIT = 2.0**-24

GEMMS = [
    (433, 1100, 700, False, False),
    (201, 577, 1024, False, True),
    (385, 130, 513, True, False),
    (50, 1030, 512, True, True),
    (1, 300, 2000, False, True),
]


def close(got: np.ndarray, truth: np.ndarray, scale: np.ndarray, terms: int) -> None:
    bound = UNIT * scale * min(terms + 2, 4 + 1.5 * np.sqrt(terms))
    assert np.isfinite(got).all()
    worst = np.abs(got - truth) / np.maximum(bound, 1e-30)
    assert worst.max() <= 1, f"error is {worst.max():.2f} of its tolerance"


@pytest.mark.parametrize(("m", "n", "k", "transpose_a", "transpose_b"), GEMMS)
def test_gemm(m: int, n: int, k: int, transpose_a: bool, transpose_b: bool, isa: str) -> None:
    rng = np.random.default_rng(m + n + k)
    a = rng.standard_normal((k, m) if transpose_a else (m, k), dtype=np.float32)
    b = rng.standard_normal((n, k) if transpose_b else (k, n), dtype=np.float32)
    left = (a.T if transpose_a else a).astype(np.float64)
    right = (b.T if transpose_b else b).astype(np.float64)
    _cpu.set_poison(True)
    got = ops.gemm(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    close(got, left @ right, np.abs(left) @ np.abs(right), k)


CONVOLUTIONS = [
    # batch, size, in_c, out_c, kernel, stride, padding, dilation, groups
    (2, 17, 100, 530, 3, 1, 1, 1, 1),  # several panel blocks, odd channels
    (3, 15, 300, 70, 3, 2, 1, 1, 1),  # depth per tap over a depth block
    (2, 9, 512, 130, 1, 1, 0, 1, 1),  # rows that alias
    (2, 20, 512, 80, 1, 2, 0, 1, 1),  # the same, with phases that no tap meets
    (4, 33, 3, 64, 7, 2, 3, 1, 1),  # gathered rows of a first layer
    (2, 21, 40, 96, 5, 1, 2, 2, 2),  # dilated, grouped
    (2, 30, 130, 130, 3, 1, 1, 1, 130),  # depthwise, several vectors and a tail
    (8, 24, 16, 24, 3, 1, 1, 1, 1),  # a small weight gradient: pixels are split
]


@pytest.mark.parametrize("numbers", CONVOLUTIONS)
def test_convolution(numbers: tuple[int, ...], isa: str) -> None:
    batch, size, in_c, out_c, kernel, stride, padding, dilation, groups = numbers
    shape = Conv2dShape.infer(
        (batch, size, size, in_c),
        (out_c, kernel, kernel, in_c // groups),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    rng = np.random.default_rng(sum(numbers))
    x, weight, dy = (
        rng.standard_normal(s, dtype=np.float32)
        for s in (shape.x_shape, shape.weight_shape, shape.y_shape)
    )
    _cpu.set_poison(True)
    taps = kernel * kernel
    for op, arguments, terms in (
        (ops.conv2d_forward, (x, weight), taps * in_c // groups),
        (ops.conv2d_backward_input, (dy, weight), taps * out_c // groups),
        (ops.conv2d_backward_weight, (x, dy), batch * shape.out_h * shape.out_w),
    ):
        got = op(*arguments, shape)
        with use_backend("reference"):
            wide = [a.astype(np.float64) for a in arguments]
            truth = op(*wide, shape)
            scale = op(*(np.abs(a) for a in wide), shape)
        close(got, truth, scale, terms)
