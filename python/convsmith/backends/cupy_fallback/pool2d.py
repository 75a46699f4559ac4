"""Maximum and average pooling: loops over the taps of the window, whole arrays for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import (
    add_to,
    compute_dtype,
    module_of,
    taps,
    wide,
)

if TYPE_CHECKING:
    from convsmith.ops.shapes import Pool2dShape


def max_pool2d_forward(x: Array, y: Array, argmax: Array | None, shape: Pool2dShape) -> None:
    """The first NaN of a window wins, else its first maximum; no element: -inf and no winner."""
    xp = module_of(x)
    best = xp.full(y.shape, -xp.inf, compute_dtype(x))
    if argmax is None:
        for _, outputs, inputs in taps(shape):
            best[outputs] = xp.maximum(best[outputs], wide(x[inputs]))  # keeps NaN
        y[...] = best
        return
    none = 255 if argmax.dtype == xp.uint8 else -1
    argmax[...] = none
    for tap, outputs, inputs in taps(shape):
        seen, old, winner = wide(x[inputs]), best[outputs], argmax[outputs]
        better = (winner == none) | (seen > old) | (seen != seen)
        better &= old == old
        best[outputs] = xp.where(better, seen, old)
        argmax[outputs] = xp.where(better, argmax.dtype.type(tap), winner)
    y[...] = best


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Pool2dShape) -> None:
    xp = module_of(dy)
    total = xp.zeros(dx.shape, compute_dtype(dy))
    for tap, outputs, inputs in taps(shape):
        add_to(total[inputs], xp.where(argmax[outputs] == tap, wide(dy[outputs]), 0))
    dx[...] = total


def avg_pool2d_forward(x: Array, y: Array, shape: Pool2dShape, *, count_include_pad: bool) -> None:
    xp = module_of(x)
    total = xp.zeros(y.shape, compute_dtype(x))
    for _, outputs, inputs in taps(shape):
        add_to(total[outputs], wide(x[inputs]))
    y[...] = total / _divisor(xp, shape, count_include_pad, total.dtype)


def avg_pool2d_backward_input(
    dy: Array, dx: Array, shape: Pool2dShape, *, count_include_pad: bool
) -> None:
    xp = module_of(dy)
    total = xp.zeros(dx.shape, compute_dtype(dy))
    share = wide(dy) / _divisor(xp, shape, count_include_pad, total.dtype)
    for _, outputs, inputs in taps(shape):
        add_to(total[inputs], share[outputs])
    dx[...] = total


def _divisor(xp: Any, shape: Pool2dShape, count_include_pad: bool, dtype: Any) -> Array:
    """[out_h, out_w, 1]: the elements that each window counts; 1 where it counts none."""

    def counts(out: int, stride: int, kernel: int, before: int, size: int, after: int) -> Array:
        low, high = (-before, size + after) if count_include_pad else (0, size)
        first = xp.arange(out) * stride - before
        # A window beyond the padding, which ceil_mode allows, counts what is left of it.
        return xp.clip(xp.minimum(first + kernel, high) - xp.maximum(first, low), 0, None)

    rows = counts(
        *(shape.out_h, shape.stride_h, shape.kernel_h),
        *(shape.pad_top, shape.in_h, shape.pad_bottom),
    )
    columns = counts(
        *(shape.out_w, shape.stride_w, shape.kernel_w),
        *(shape.pad_left, shape.in_w, shape.pad_right),
    )
    found = rows[:, None, None] * columns[None, :, None]
    return xp.maximum(found, 1).astype(dtype)
