"""Adaptive average pooling and upsampling: rows first, then columns.

Every one of them is a linear map of the rows after one of the columns. Backward passes gather: an
input adds the outputs that read it, in the order of the outputs, so no two threads add to one
element. How many outputs the most popular input has is known on the host from the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import add_to, compute_dtype, module_of, wide

if TYPE_CHECKING:
    from convsmith.ops.shapes import Resample2dShape

# (xp, size, out) -> the input that each of `out` outputs reads: an array that never decreases.
Sources: TypeAlias = Callable[[Any, int, int], Array]


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    xp = module_of(x)
    batch, height, width, channels = shape.y_shape
    tall = xp.empty((batch, height, shape.in_w, channels), compute_dtype(x))
    for i, rows in enumerate(_windows(shape.in_h, height)):
        tall[:, i] = wide(x[:, rows]).sum(axis=1)
    counts = _counts(xp, shape.in_h, height)
    for j, columns in enumerate(_windows(shape.in_w, width)):
        # Divided once: a mean of means would be rounded twice.
        count = (counts * (columns.stop - columns.start)).astype(tall.dtype)
        y[:, :, j] = tall[:, :, columns].sum(axis=2) / count[:, None]


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    xp, dtype = module_of(dy), compute_dtype(dy)
    batch, height, width, channels = shape.x_shape
    rows_of = _counts(xp, height, shape.out_h)[:, None]
    share = wide(dy) / (rows_of * _counts(xp, width, shape.out_w)).astype(dtype)[..., None]
    tall = xp.zeros((batch, height, shape.out_w, channels), dtype)
    for i, rows in enumerate(_windows(height, shape.out_h)):
        add_to(tall[:, rows], share[:, i : i + 1])
    total = xp.zeros(dx.shape, dtype)
    for j, columns in enumerate(_windows(width, shape.out_w)):
        add_to(total[:, :, columns], tall[:, :, j : j + 1])
    dx[...] = total


def upsample_nearest2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    xp = module_of(x)
    rows = _nearest(xp, shape.in_h, shape.out_h)
    columns = _nearest(xp, shape.in_w, shape.out_w)
    y[...] = xp.take(xp.take(x, rows, axis=1), columns, axis=2)


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    tall = _gather(wide(dy), 1, shape.in_h, _nearest)
    dx[...] = _gather(tall, 2, shape.in_w, _nearest)


def upsample_bilinear2d_forward(
    x: Array, y: Array, shape: Resample2dShape, *, align_corners: bool
) -> None:
    xp = module_of(x)
    tall = _interpolate(xp, wide(x), 1, shape.out_h, align_corners)
    y[...] = _interpolate(xp, tall, 2, shape.out_w, align_corners)


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Resample2dShape, *, align_corners: bool
) -> None:
    xp = module_of(dy)
    tall = _interpolate_backward(xp, wide(dy), 1, shape.in_h, align_corners)
    dx[...] = _interpolate_backward(xp, tall, 2, shape.in_w, align_corners)


# One axis.


def _windows(size: int, out: int) -> list[slice]:
    """Window i is [floor(i * size / out), ceil((i + 1) * size / out))."""
    return [slice(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _counts(xp: Any, size: int, out: int) -> Array:
    """How many inputs each of these windows holds."""
    index = xp.arange(out, dtype=np.int64)
    return -(-(index + 1) * size // out) - index * size // out


def _nearest(xp: Any, size: int, out: int) -> Array:
    return xp.arange(out, dtype=np.int64) * size // out


def _low(xp: Any, size: int, out: int, align_corners: bool) -> tuple[Array, Array]:
    """The lower neighbour of each output's position, and how far beyond it the position lies."""
    position = xp.arange(out, dtype=np.float64)
    if align_corners:
        position = position * (size - 1) / max(out - 1, 1)
    else:
        position = xp.maximum((position + 0.5) * size / out - 0.5, 0)
    low = xp.minimum(position.astype(np.int64), size - 1)
    return low, position - low


def _along(weights: Array, axis: int, dtype: Any) -> Array:
    """[n] so that it multiplies axis 1 or 2 of an NHWC array."""
    return weights.astype(dtype).reshape((-1, 1, 1) if axis == 1 else (-1, 1))


def _interpolate(xp: Any, x: Array, axis: int, out: int, align_corners: bool) -> Array:
    size = x.shape[axis]
    low, fraction = _low(xp, size, out, align_corners)
    high = xp.minimum(low + 1, size - 1)
    below = xp.take(x, low, axis=axis) * _along(1 - fraction, axis, x.dtype)
    return below + xp.take(x, high, axis=axis) * _along(fraction, axis, x.dtype)


def _interpolate_backward(xp: Any, dy: Array, axis: int, size: int, align_corners: bool) -> Array:
    _, fraction = _low(xp, size, dy.shape[axis], align_corners)

    def low(module: Any, size: int, out: int) -> Array:
        return _low(module, size, out, align_corners)[0]

    def high(module: Any, size: int, out: int) -> Array:
        return module.minimum(low(module, size, out) + 1, size - 1)

    from_below = _gather(dy * _along(1 - fraction, axis, dy.dtype), axis, size, low)
    return from_below + _gather(dy * _along(fraction, axis, dy.dtype), axis, size, high)


def _gather(dy: Array, axis: int, size: int, sources: Sources) -> Array:
    """dx along one axis: each input adds the gradients of the outputs that read it."""
    xp, out = module_of(dy), dy.shape[axis]
    most = int(np.bincount(sources(np, size, out)).max())
    source, wanted = sources(xp, size, out), xp.arange(size, dtype=np.int64)
    first = xp.searchsorted(source, wanted, side="left")
    end = xp.searchsorted(source, wanted, side="right")
    total: Array = 0
    for step in range(most):
        index = first + step
        inside = (index < end).reshape((-1, 1, 1) if axis == 1 else (-1, 1))
        taken = xp.take(dy, xp.minimum(index, out - 1), axis=axis)
        total = total + xp.where(inside, taken, 0)
    return total
