"""2-D convolution (cross-correlation, as in every CNN library) in its four directions.

y[n, oh, ow, oc] = sum over kh, kw, c of
    x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c]
    * weight[oc, kh, kw, c],
where x is zero outside its borders and c runs over the channels of oc's group. The backward
directions are the derivatives of that sum. Layouts: x [batch, in_h, in_w, in_c], weight
[out_c, kernel_h, kernel_w, in_c / groups], y [batch, out_h, out_w, out_c], all C-contiguous and of
one float dtype. Sums are accumulated in float32 at least.

All raise ValueError for a wrong shape, value or memory layout, TypeError for a wrong dtype or
array type, before any work.
"""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check
from convsmith.ops.epilogue import NO_EPILOGUE, Epilogue
from convsmith.ops.shapes import Conv2dShape


def conv2d_forward(
    x: Array,
    weight: Array,
    shape: Conv2dShape,
    epilogue: Epilogue = NO_EPILOGUE,
    *,
    algorithm: str = "auto",
) -> Array:
    """y = activation(convolution of x with weight + bias + residual)."""
    op = "conv2d_forward"
    check.geometry(op, shape, Conv2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    check.like(op, "weight", weight, "x", x, shape.weight_shape)
    y_shape = shape.y_shape
    check.epilogue(op, epilogue, shape.out_c, y_shape, "x", x)
    backend = select(op, (x,), dtype, shape)
    check.algorithm(op, algorithm, backend, dtype, shape)
    y = backend.empty(y_shape, dtype)
    backend.conv2d_forward(x, weight, y, shape, epilogue, algorithm=algorithm)
    return y


def conv2d_backward_input(
    dy: Array, weight: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> Array:
    """dx [batch, in_h, in_w, in_c]: the gradient with respect to x, given dy, that of y."""
    op = "conv2d_backward_input"
    check.geometry(op, shape, Conv2dShape)
    dtype = check.floats(op, "dy", dy)
    check.has_shape(op, "dy", dy, shape.y_shape)
    check.like(op, "weight", weight, "dy", dy, shape.weight_shape)
    backend = select(op, (dy,), dtype, shape)
    check.algorithm(op, algorithm, backend, dtype, shape)
    dx = backend.empty(shape.x_shape, dtype)
    backend.conv2d_backward_input(dy, weight, dx, shape, algorithm=algorithm)
    return dx


def conv2d_backward_weight(
    x: Array, dy: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> Array:
    """dweight [out_c, kernel_h, kernel_w, in_c / groups]: summed over the batch."""
    op = "conv2d_backward_weight"
    check.geometry(op, shape, Conv2dShape)
    dtype = check.floats(op, "x", x)
    check.has_shape(op, "x", x, shape.x_shape)
    check.like(op, "dy", dy, "x", x, shape.y_shape)
    backend = select(op, (x,), dtype, shape)
    check.algorithm(op, algorithm, backend, dtype, shape)
    dweight = backend.empty(shape.weight_shape, dtype)
    backend.conv2d_backward_weight(x, dy, dweight, shape, algorithm=algorithm)
    return dweight


def conv2d_backward_bias(dy: Array) -> Array:
    """dbias [C]: dy [..., C] summed over all but the last dimension."""
    op = "conv2d_backward_bias"
    dtype = check.floats(op, "dy", dy)
    channels = check.channels_last(op, "dy", dy)
    backend = select(op, (dy,), dtype)
    dbias = backend.empty((channels,), dtype)
    backend.conv2d_backward_bias(dy, dbias)
    return dbias
