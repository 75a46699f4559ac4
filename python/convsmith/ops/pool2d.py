"""2-D pooling: maximum and average over windows, and adaptive average to a given size.

x is [batch, in_h, in_w, channels], y [batch, out_h, out_w, channels], C-contiguous, of one float
dtype. All raise ValueError for a wrong shape, value or memory layout, TypeError for a wrong dtype
or array type, before any work.
"""

from __future__ import annotations

import numpy as np

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check
from convsmith.ops.shapes import Pool2dShape, Resample2dShape

_UINT8 = np.dtype(np.uint8)
_INT32 = np.dtype(np.int32)


def argmax_dtype(shape: Pool2dShape) -> np.dtype[np.uint8] | np.dtype[np.int32]:
    """uint8 while a window has at most 255 positions (255 itself marks 'none'), else int32."""
    return _UINT8 if shape.kernel_h * shape.kernel_w <= 255 else _INT32


def max_pool2d_forward(
    x: Array, shape: Pool2dShape, *, with_argmax: bool = True
) -> tuple[Array, Array | None]:
    """The maximum of every window, and where it was.

    Returns (y, argmax): argmax has y's shape and holds kh * kernel_w + kw, the position inside the
    window, or None when with_argmax is false, as inference wants it. The first NaN of a window
    wins, else the first maximum. A window wholly in the padding gives -inf and the marker 255
    (uint8) or -1 (int32), and receives no gradient. See argmax_dtype for argmax's dtype.
    """
    op = "max_pool2d_forward"
    check.geometry(op, shape, Pool2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    backend = select(op, (x,), dtype, shape)
    y_shape = shape.y_shape
    y = backend.empty(y_shape, dtype)
    argmax = backend.empty(y_shape, argmax_dtype(shape)) if with_argmax else None
    backend.max_pool2d_forward(x, y, argmax, shape)
    return y, argmax


def max_pool2d_backward_input(dy: Array, argmax: Array, shape: Pool2dShape) -> Array:
    """dx: each element of dy goes to the position that argmax names; overlaps add up."""
    op = "max_pool2d_backward_input"
    check.geometry(op, shape, Pool2dShape)
    dtype = check.floats(op, "dy", dy)
    y_shape = shape.y_shape
    check.has_shape(op, "dy", dy, y_shape)
    check.beside(op, "argmax", argmax, argmax_dtype(shape), "dy", dy, y_shape)
    backend = select(op, (dy,), dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.max_pool2d_backward_input(dy, argmax, dx, shape)
    return dx


def avg_pool2d_forward(x: Array, shape: Pool2dShape, *, count_include_pad: bool = True) -> Array:
    """The average of every window, which must not be dilated.

    The divisor is PyTorch's: with count_include_pad the window's positions inside the padded
    input, else those inside the input itself; a window with none of the latter gives 0.
    """
    op = "avg_pool2d_forward"
    check.geometry(op, shape, Pool2dShape)
    _check_undilated(op, shape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    backend = select(op, (x,), dtype, shape)
    y = backend.empty(shape.y_shape, dtype)
    backend.avg_pool2d_forward(x, y, shape, count_include_pad=bool(count_include_pad))
    return y


def avg_pool2d_backward_input(
    dy: Array, shape: Pool2dShape, *, count_include_pad: bool = True
) -> Array:
    """dx: each element of dy, divided as in the forward pass, to every position of its window."""
    op = "avg_pool2d_backward_input"
    check.geometry(op, shape, Pool2dShape)
    _check_undilated(op, shape)
    dtype = check.floats(op, "dy", dy)
    check.has_shape(op, "dy", dy, shape.y_shape)
    backend = select(op, (dy,), dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.avg_pool2d_backward_input(dy, dx, shape, count_include_pad=bool(count_include_pad))
    return dx


def adaptive_avg_pool2d_forward(x: Array, shape: Resample2dShape) -> Array:
    """The average over [floor(i * in / out), ceil((i + 1) * in / out)) for each output i."""
    op = "adaptive_avg_pool2d_forward"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    backend = select(op, (x,), dtype, shape)
    y = backend.empty(shape.y_shape, dtype)
    backend.adaptive_avg_pool2d_forward(x, y, shape)
    return y


def adaptive_avg_pool2d_backward_input(dy: Array, shape: Resample2dShape) -> Array:
    """dx of adaptive_avg_pool2d_forward."""
    op = "adaptive_avg_pool2d_backward_input"
    check.geometry(op, shape, Resample2dShape)
    dtype = check.floats(op, "dy", dy)
    check.has_shape(op, "dy", dy, shape.y_shape)
    backend = select(op, (dy,), dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.adaptive_avg_pool2d_backward_input(dy, dx, shape)
    return dx


def _check_undilated(op: str, shape: Pool2dShape) -> None:
    if shape.dilation_h != 1 or shape.dilation_w != 1:
        raise ValueError(
            f"{op}: shape: got dilation ({shape.dilation_h}, {shape.dilation_w}), wanted 1: "
            "average pooling has no dilation"
        )
