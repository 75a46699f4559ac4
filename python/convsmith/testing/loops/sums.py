"""Convolution and matrix product, one multiplication at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convsmith.testing.loops.pointwise import activate

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import Conv2dShape, GemmShape

Array = npt.NDArray[Any]
Index = tuple[int, ...]


def _products(s: Conv2dShape) -> Iterator[tuple[Index, Index, Index]]:
    """The indices into x, weight and y of every product that a convolution adds up."""
    channels, filters = s.in_c // s.groups, s.out_c // s.groups
    for n, i, j, o in np.ndindex(s.batch, s.out_h, s.out_w, s.out_c):
        for kh, kw, c in np.ndindex(s.kernel_h, s.kernel_w, channels):
            h = i * s.stride_h + kh * s.dilation_h - s.pad_top
            w = j * s.stride_w + kw * s.dilation_w - s.pad_left
            if 0 <= h < s.in_h and 0 <= w < s.in_w:
                yield (n, h, w, o // filters * channels + c), (o, kh, kw, c), (n, i, j, o)


def _finish(total: Array, out: Array, epilogue: Epilogue) -> None:
    for index in np.ndindex(out.shape):
        value = float(total[index])
        if epilogue.bias is not None:
            value += float(epilogue.bias[index[-1]])
        if epilogue.residual is not None:
            value += float(epilogue.residual[index])
        out[index] = activate(value, epilogue.activation, epilogue.negative_slope)


def conv2d_forward(
    x: Array,
    weight: Array,
    y: Array,
    shape: Conv2dShape,
    epilogue: Epilogue,
    *,
    algorithm: str = "auto",
) -> None:
    total = np.zeros(y.shape)
    for in_x, in_weight, in_y in _products(shape):
        total[in_y] += float(x[in_x]) * float(weight[in_weight])
    _finish(total, y, epilogue)


def conv2d_backward_input(
    dy: Array, weight: Array, dx: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> None:
    dx[...] = 0.0
    for in_x, in_weight, in_y in _products(shape):
        dx[in_x] += float(dy[in_y]) * float(weight[in_weight])


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> None:
    dweight[...] = 0.0
    for in_x, in_weight, in_y in _products(shape):
        dweight[in_weight] += float(x[in_x]) * float(dy[in_y])


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    dbias[...] = 0.0
    for index in np.ndindex(dy.shape):
        dbias[index[-1]] += float(dy[index])


def gemm(
    a: Array,
    b: Array,
    c: Array,
    shape: GemmShape,
    epilogue: Epilogue,
    *,
    alpha: float,
    beta: float,
) -> None:
    total = np.zeros(c.shape)
    for m, n in np.ndindex(shape.gemm_m, shape.gemm_n):
        dot = 0.0
        for k in range(shape.gemm_k):
            left = a[k, m] if shape.transpose_a else a[m, k]
            right = b[n, k] if shape.transpose_b else b[k, n]
            dot += float(left) * float(right)
        total[m, n] = alpha * dot + (beta * float(c[m, n]) if beta != 0 else 0.0)
    _finish(total, c, epilogue)
