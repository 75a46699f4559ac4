"""Convolution as im2col and one 2-D matrix product per group; depthwise by a loop over the taps.

The columns are copied for a few images at a time, so that they stay within COLUMNS_BYTES however
large the batch is; how many depends on the shape alone, and so do the bits of a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import (
    add_to,
    compute_dtype,
    module_of,
    taps,
    wide,
)
from convsmith.backends.cupy_fallback.pointwise import finish

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import Conv2dShape

COLUMNS_BYTES = 256 << 20  # of one group and one chunk of images


def conv2d_forward(
    x: Array,
    weight: Array,
    y: Array,
    shape: Conv2dShape,
    epilogue: Epilogue,
    *,
    algorithm: str,
) -> None:
    xp, dtype = module_of(x), compute_dtype(x)
    total = xp.zeros(shape.y_shape, dtype)
    if _depthwise(shape):
        split = _by_group(total, shape)
        for tap, seen_by, met in taps(shape):
            seen = wide(x[met])[..., None]
            add_to(split[seen_by], seen * _tap_weight(weight, tap, shape))
    else:
        matrices = _weight_matrices(weight, shape)
        for images in _chunks(shape, dtype.itemsize):
            padded = _padded(xp, x[images], shape)
            for group, (inputs, outputs) in enumerate(_groups(shape)):
                columns = _columns(xp, padded[..., inputs], shape)
                product = columns @ matrices[group].T
                total[images, ..., outputs] = product.reshape(
                    (-1, shape.out_h, shape.out_w, product.shape[1])
                )
    y[...] = finish(xp, total, epilogue)


def conv2d_backward_input(
    dy: Array, weight: Array, dx: Array, shape: Conv2dShape, *, algorithm: str
) -> None:
    """col2im: the gradients of the columns, added to the input tap by tap."""
    xp, dtype = module_of(dy), compute_dtype(dy)
    total = xp.zeros(shape.x_shape, dtype)
    if _depthwise(shape):
        split = _by_group(dy, shape)
        for tap, seen_by, met in taps(shape):
            product = wide(split[seen_by]) * _tap_weight(weight, tap, shape)
            add_to(total[met], product.sum(axis=-1))
    else:
        matrices = _weight_matrices(weight, shape)
        for images in _chunks(shape, dtype.itemsize):
            for group, (inputs, outputs) in enumerate(_groups(shape)):
                gradient = wide(dy[images, ..., outputs])
                columns = gradient.reshape((-1, gradient.shape[-1])) @ matrices[group]
                columns = columns.reshape(
                    (*gradient.shape[:3], shape.kernel_h * shape.kernel_w, -1)
                )
                target = total[images, ..., inputs]
                for tap, seen_by, met in taps(shape):
                    add_to(target[met], columns[..., tap, :][seen_by])
    dx[...] = total


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Conv2dShape, *, algorithm: str
) -> None:
    xp, dtype = module_of(x), compute_dtype(x)
    if _depthwise(shape):
        split = _by_group(dy, shape)
        total = xp.zeros((shape.kernel_h * shape.kernel_w, *split.shape[3:]), dtype)
        for tap, seen_by, met in taps(shape):
            product = wide(x[met])[..., None] * wide(split[seen_by])
            total[tap] = product.sum(axis=(0, 1, 2))
        dweight[...] = total.transpose(1, 2, 0).reshape(shape.weight_shape)
        return
    taken = shape.kernel_h * shape.kernel_w * (shape.in_c // shape.groups)
    total = xp.zeros((shape.groups, shape.out_c // shape.groups, taken), dtype)
    for images in _chunks(shape, dtype.itemsize):
        padded = _padded(xp, x[images], shape)
        for group, (inputs, outputs) in enumerate(_groups(shape)):
            gradient = wide(dy[images, ..., outputs])
            gradient = gradient.reshape((-1, gradient.shape[-1]))
            product = gradient.T @ _columns(xp, padded[..., inputs], shape)
            add_to(total[group], product)
    dweight[...] = total.reshape(shape.weight_shape)


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    dbias[...] = wide(dy).reshape((-1, dy.shape[-1])).sum(axis=0)


# Matrices.


def _groups(shape: Conv2dShape) -> Iterator[tuple[slice, slice]]:
    """The input channels and the output channels of each group."""
    in_c, out_c = shape.in_c // shape.groups, shape.out_c // shape.groups
    for group in range(shape.groups):
        yield (
            slice(group * in_c, (group + 1) * in_c),
            slice(group * out_c, (group + 1) * out_c),
        )


def _weight_matrices(weight: Array, shape: Conv2dShape) -> Array:
    """[groups, out_c / groups, KH * KW * C]."""
    return wide(weight).reshape((shape.groups, shape.out_c // shape.groups, -1))


def _chunks(shape: Conv2dShape, itemsize: int) -> Iterator[slice]:
    taken = shape.kernel_h * shape.kernel_w * (shape.in_c // shape.groups)
    image_bytes = shape.out_h * shape.out_w * taken * itemsize
    images = max(COLUMNS_BYTES // image_bytes, 1)
    for first in range(0, shape.batch, images):
        yield slice(first, min(first + images, shape.batch))


def _padded(xp: Any, x: Array, shape: Conv2dShape) -> Array:
    """x in its compute type inside a frame of zeros; x itself where nothing changes."""
    pads = (shape.pad_top, shape.pad_bottom, shape.pad_left, shape.pad_right)
    if not any(pads):
        return wide(x)
    height, width = (
        shape.in_h + shape.pad_top + shape.pad_bottom,
        shape.in_w + shape.pad_left + shape.pad_right,
    )
    padded = xp.zeros((len(x), height, width, shape.in_c), compute_dtype(x))
    rows = slice(shape.pad_top, shape.pad_top + shape.in_h)
    padded[:, rows, shape.pad_left : shape.pad_left + shape.in_w] = x
    return padded


def _columns(xp: Any, padded: Array, shape: Conv2dShape) -> Array:
    """[images * out_h * out_w, KH * KW * C]: the window of each output as a row."""
    images, rows, columns, channel = padded.strides
    windows = xp.lib.stride_tricks.as_strided(
        padded,
        (
            *(len(padded), shape.out_h, shape.out_w),
            *(shape.kernel_h, shape.kernel_w, padded.shape[-1]),
        ),
        (
            *(images, rows * shape.stride_h, columns * shape.stride_w),
            *(rows * shape.dilation_h, columns * shape.dilation_w, channel),
        ),
    )
    outputs = len(padded) * shape.out_h * shape.out_w
    return windows.reshape((outputs, shape.kernel_h * shape.kernel_w * padded.shape[-1]))


# Depthwise: one input channel per group, where a matrix product per group would be all overhead.


def _depthwise(shape: Conv2dShape) -> bool:
    return shape.groups > 1 and shape.groups == shape.in_c


def _by_group(values: Array, shape: Conv2dShape) -> Array:
    """[..., out_c] as [..., groups, out_c / groups], the same memory."""
    return values.reshape((*values.shape[:-1], shape.groups, shape.out_c // shape.groups))


def _tap_weight(weight: Array, tap: int, shape: Conv2dShape) -> Array:
    """[groups, out_c / groups] of one tap."""
    per_group = (shape.groups, shape.out_c // shape.groups, shape.kernel_h * shape.kernel_w)
    return wide(weight.reshape(per_group)[..., tap])
