"""Pooling: maximum, average, adaptive average. Loops over window positions, NumPy over the rest.

A window at output (i, j) covers input rows i*stride_h - pad_top + kh*dilation_h and the same
for columns. Elements outside the input are no candidates for the maximum; in an average they
count as zeros inside the declared padding and not at all beyond it (which only ceil_mode
reaches), as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convsmith.ops.shapes import Pool2dShape, Resample2dShape

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _taps(shape: Pool2dShape) -> Iterator[tuple[int, Array, Array]]:
    """(tap, rows, columns): the input row of each output row at this tap, and the columns.

    tap = kh * kernel_w + kw. Rows and columns may lie outside the input.
    """
    out_rows = np.arange(shape.out_h) * shape.stride_h - shape.pad_top
    out_columns = np.arange(shape.out_w) * shape.stride_w - shape.pad_left
    for kh in range(shape.kernel_h):
        for kw in range(shape.kernel_w):
            rows = out_rows + kh * shape.dilation_h
            columns = out_columns + kw * shape.dilation_w
            yield kh * shape.kernel_w + kw, rows, columns


def _inside(rows: Array, columns: Array, shape: Pool2dShape) -> tuple[Array, Array]:
    """Indices of the output rows and of the output columns that meet the input at this tap."""
    good_rows = np.flatnonzero((rows >= 0) & (rows < shape.in_h))
    good_columns = np.flatnonzero((columns >= 0) & (columns < shape.in_w))
    return good_rows, good_columns


def _grid(rows: Array, columns: Array, shape: Pool2dShape) -> tuple[Array, ...]:
    """Index of every image, these rows, these columns, every channel."""
    return np.ix_(np.arange(shape.batch), rows, columns, np.arange(shape.channels))


def max_pool2d_forward(x: Array, y: Array, argmax: Array | None, shape: Pool2dShape) -> None:
    """y = the maximum of each window; argmax = the tap it came from.

    The first NaN wins over everything, the first maximum wins a tie. A window with no element
    inside the input gives -inf and the sentinel: 255 in a uint8 argmax, -1 in an int32 one.
    """
    best = np.full(y.shape, -np.inf, x.dtype)
    winner = np.full(y.shape, -1, np.int64)
    for tap, rows, columns in _taps(shape):
        good_rows, good_columns = _inside(rows, columns, shape)
        here = _grid(good_rows, good_columns, shape)
        seen = x[:, rows[good_rows]][:, :, columns[good_columns]]
        old, old_winner = best[here], winner[here]
        better = (old_winner < 0) | (seen > old) | np.isnan(seen)
        better &= ~np.isnan(old)
        best[here] = np.where(better, seen, old)
        winner[here] = np.where(better, tap, old_winner)
    y[...] = best
    if argmax is not None:
        sentinel = 255 if argmax.dtype == np.uint8 else -1
        argmax[...] = np.where(winner < 0, sentinel, winner).astype(argmax.dtype)


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Pool2dShape) -> None:
    """dx: each output's gradient goes to the element that won its window; sentinels give none."""
    total = np.zeros(dx.shape)
    for tap, rows, columns in _taps(shape):
        good_rows, good_columns = _inside(rows, columns, shape)
        won = np.where(argmax == tap, dy, 0.0)[:, good_rows][:, :, good_columns]
        # Within one tap the windows meet distinct elements, so += adds each exactly once.
        target = _grid(rows[good_rows], columns[good_columns], shape)
        total[target] += won
    dx[...] = total


def _average_divisor(shape: Pool2dShape, count_include_pad: bool) -> Float64:
    """[out_h, out_w]: how many elements each window counts; never 0."""

    def count(out: int, stride: int, kernel: int, before: int, size: int, after: int) -> Float64:
        low, high = (-before, size + after) if count_include_pad else (0, size)
        counts = []
        for position in range(out):
            first = position * stride - before
            counts.append(sum(low <= first + k < high for k in range(kernel)))
        return np.array(counts, dtype=np.float64)

    rows = count(
        shape.out_h, shape.stride_h, shape.kernel_h, shape.pad_top, shape.in_h, shape.pad_bottom
    )
    columns = count(
        shape.out_w, shape.stride_w, shape.kernel_w, shape.pad_left, shape.in_w, shape.pad_right
    )
    # A window with nothing to count has the sum 0; dividing by 1 gives the promised 0.
    return np.maximum(rows[:, None] * columns[None, :], 1.0)


def avg_pool2d_forward(
    x: Array, y: Array, shape: Pool2dShape, *, count_include_pad: bool = True
) -> None:
    """y = the sum of each window over its count; 0 for a window with no element of the input."""
    total = np.zeros(y.shape)
    for _, rows, columns in _taps(shape):
        good_rows, good_columns = _inside(rows, columns, shape)
        here = _grid(good_rows, good_columns, shape)
        total[here] += x[:, rows[good_rows]][:, :, columns[good_columns]]
    y[...] = total / _average_divisor(shape, count_include_pad)[None, :, :, None]


def avg_pool2d_backward_input(
    dy: Array, dx: Array, shape: Pool2dShape, *, count_include_pad: bool = True
) -> None:
    """dx: each output's gradient over its count goes to every input element of its window."""
    divisor = _average_divisor(shape, count_include_pad)[None, :, :, None]
    share = dy.astype(np.float64) / divisor
    total = np.zeros(dx.shape)
    for _, rows, columns in _taps(shape):
        good_rows, good_columns = _inside(rows, columns, shape)
        target = _grid(rows[good_rows], columns[good_columns], shape)
        total[target] += share[:, good_rows][:, :, good_columns]
    dx[...] = total


def _adaptive_windows(size: int, out: int) -> list[slice]:
    """Window i is [floor(i*size/out), ceil((i+1)*size/out))."""
    return [slice(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    """y [N, out_h, out_w, C] = the mean of each adaptive window of x."""
    values = x.astype(np.float64)
    for i, rows in enumerate(_adaptive_windows(shape.in_h, shape.out_h)):
        for j, columns in enumerate(_adaptive_windows(shape.in_w, shape.out_w)):
            y[:, i, j] = values[:, rows, columns].mean(axis=(1, 2))


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    """dx: each window's gradient is shared equally among its elements; windows may overlap."""
    gradient = dy.astype(np.float64)
    total = np.zeros(dx.shape)
    for i, rows in enumerate(_adaptive_windows(shape.in_h, shape.out_h)):
        for j, columns in enumerate(_adaptive_windows(shape.in_w, shape.out_w)):
            count = (rows.stop - rows.start) * (columns.stop - columns.start)
            total[:, rows, columns] += (gradient[:, i, j] / count)[:, None, None]
    dx[...] = total
