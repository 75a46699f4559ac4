"""2-D resampling of [batch, in_h, in_w, channels] to any size, nearest or bilinear.

Arrays are C-contiguous and of one float dtype. All raise ValueError for a wrong shape or memory
layout, TypeError for a wrong dtype or array type, before any work.
"""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check
from convsmith.ops.shapes import Resample2dShape


def upsample_nearest2d_forward(x: Array, shape: Resample2dShape) -> Array:
    """y[i] = x[floor(i * in / out)] on both axes, as torch's mode="nearest" with size=."""
    op = "upsample_nearest2d_forward"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    backend = select(op, (x,), dtype, shape)
    y = backend.empty(shape.y_shape, dtype)
    backend.upsample_nearest2d_forward(x, y, shape)
    return y


def upsample_nearest2d_backward_input(dy: Array, shape: Resample2dShape) -> Array:
    """dx: every element of x receives the sum of dy where it was copied to."""
    op = "upsample_nearest2d_backward_input"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "dy", dy)
    check.has_shape(op, "dy", dy, shape.y_shape)
    backend = select(op, (dy,), dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.upsample_nearest2d_backward_input(dy, dx, shape)
    return dx


def upsample_bilinear2d_forward(
    x: Array, shape: Resample2dShape, *, align_corners: bool = False
) -> Array:
    """y interpolates x at (i + 0.5) * in / out - 0.5, clamped at 0 and in - 1.

    With align_corners at i * (in - 1) / (out - 1) instead. As torch's mode="bilinear" with size=.
    """
    op = "upsample_bilinear2d_forward"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    backend = select(op, (x,), dtype, shape)
    y = backend.empty(shape.y_shape, dtype)
    backend.upsample_bilinear2d_forward(x, y, shape, align_corners=bool(align_corners))
    return y


def upsample_bilinear2d_backward_input(
    dy: Array, shape: Resample2dShape, *, align_corners: bool = False
) -> Array:
    """dx of upsample_bilinear2d_forward."""
    op = "upsample_bilinear2d_backward_input"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "dy", dy)
    check.has_shape(op, "dy", dy, shape.y_shape)
    backend = select(op, (dy,), dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.upsample_bilinear2d_backward_input(dy, dx, shape, align_corners=bool(align_corners))
    return dx
