"""Upsampling to a given size: nearest neighbour and bilinear.

Both are linear maps that act on rows and columns apart, so each is written as two matrices
[out, in]; the backward is the same maps, transposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convsmith.ops.shapes import Resample2dShape

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _nearest(size: int, out: int) -> Float64:
    """[out, size]: a one at source floor(i * size / out), in integers."""
    matrix = np.zeros((out, size))
    for i in range(out):
        matrix[i, i * size // out] = 1.0
    return matrix


def _bilinear(size: int, out: int, align_corners: bool) -> Float64:
    """[out, size]: the weights of the two neighbours of the source position, as in PyTorch."""
    matrix = np.zeros((out, size))
    for i in range(out):
        if align_corners:
            source = i * (size - 1) / (out - 1) if out > 1 else 0.0
        else:
            source = max((i + 0.5) * size / out - 0.5, 0.0)
        low = min(int(source), size - 1)
        fraction = source - low
        matrix[i, low] += 1.0 - fraction
        matrix[i, min(low + 1, size - 1)] += fraction
    return matrix


def _resample(values: Array, rows: Float64, columns: Float64) -> Float64:
    """Apply [out_h, in_h] to axis 1 and [out_w, in_w] to axis 2 of an NHWC array."""
    wide = np.einsum("ih,nhwc->niwc", rows, values.astype(np.float64))
    result: Float64 = np.einsum("jw,niwc->nijc", columns, wide)
    return result


def upsample_nearest2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    """y[n, i, j] = x[n, floor(i*in_h/out_h), floor(j*in_w/out_w)]."""
    rows = [i * shape.in_h // shape.out_h for i in range(shape.out_h)]
    columns = [j * shape.in_w // shape.out_w for j in range(shape.out_w)]
    # Picked, not multiplied by zeros and ones: an infinite or NaN pixel stays where it is.
    y[...] = x[:, rows][:, :, columns]


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    """dx = the sum of dy over every output that copied the element."""
    rows = _nearest(shape.in_h, shape.out_h)
    columns = _nearest(shape.in_w, shape.out_w)
    dx[...] = _resample(dy, rows.T, columns.T)


def upsample_bilinear2d_forward(
    x: Array, y: Array, shape: Resample2dShape, *, align_corners: bool = False
) -> None:
    """y = x at (i + 0.5) * in/out - 0.5 (or, with align_corners, i * (in-1)/(out-1))."""
    rows = _bilinear(shape.in_h, shape.out_h, align_corners)
    columns = _bilinear(shape.in_w, shape.out_w, align_corners)
    y[...] = _resample(x, rows, columns)


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Resample2dShape, *, align_corners: bool = False
) -> None:
    """dx: each output's gradient goes to its four neighbours by the forward's weights."""
    rows = _bilinear(shape.in_h, shape.out_h, align_corners)
    columns = _bilinear(shape.in_w, shape.out_w, align_corners)
    dx[...] = _resample(dy, rows.T, columns.T)
