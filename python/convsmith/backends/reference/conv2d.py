"""Convolution, in its four directions, by a loop over the kernel's taps.

Definition (cross-correlation, as every deep-learning library means "convolution"):

    y[n, i, j, o] = sum over kh, kw, c of
        padded[n, i*stride_h + kh*dilation_h, j*stride_w + kw*dilation_w, group(o)*C + c]
        * weight[o, kh, kw, c]

with C = in_c / groups and `padded` the input inside an explicit frame of zeros. One tap of the
kernel sees a strided slice of `padded`; the two other directions read or write the same slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convsmith.backends.reference.epilogue import finish

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import Conv2dShape

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _check_algorithm(op: str, algorithm: str) -> None:
    if algorithm not in ("auto", "direct"):
        raise ValueError(
            f"{op}: algorithm={algorithm!r} is not known to the reference backend; "
            'use "auto" or "direct"'
        )


def _padded(shape: Conv2dShape) -> Float64:
    height = shape.pad_top + shape.in_h + shape.pad_bottom
    width = shape.pad_left + shape.in_w + shape.pad_right
    return np.zeros((shape.batch, height, width, shape.in_c))


def _interior(padded: Float64, shape: Conv2dShape) -> Float64:
    rows = slice(shape.pad_top, shape.pad_top + shape.in_h)
    columns = slice(shape.pad_left, shape.pad_left + shape.in_w)
    return padded[:, rows, columns]


def _taps(padded: Float64, shape: Conv2dShape) -> Iterator[tuple[int, int, Float64]]:
    """(kh, kw, view): the elements of `padded` this tap meets, [batch, out_h, out_w, in_c]."""
    for kh in range(shape.kernel_h):
        top = kh * shape.dilation_h
        rows = slice(top, top + (shape.out_h - 1) * shape.stride_h + 1, shape.stride_h)
        for kw in range(shape.kernel_w):
            left = kw * shape.dilation_w
            columns = slice(left, left + (shape.out_w - 1) * shape.stride_w + 1, shape.stride_w)
            yield kh, kw, padded[:, rows, columns]


def _by_group(values: Float64, groups: int) -> Float64:
    """[..., groups*C] -> [groups, rows, C]: every group becomes a matrix of its own."""
    channels = values.shape[-1] // groups
    rows = int(np.prod(values.shape[:-1]))
    matrices: Float64 = values.reshape(rows, groups, channels).transpose(1, 0, 2)
    return matrices


def _from_groups(matrices: Float64, leading: tuple[int, ...]) -> Float64:
    """The inverse of `_by_group`."""
    groups, _, channels = matrices.shape
    merged: Float64 = matrices.transpose(1, 0, 2).reshape(*leading, groups * channels)
    return merged


def _weight_by_group(weight: Array, shape: Conv2dShape) -> Float64:
    """[out_c, KH, KW, C] -> [groups, out_c/groups, KH, KW, C] in float64."""
    channels = shape.in_c // shape.groups
    per_group = shape.out_c // shape.groups
    split = (shape.groups, per_group, shape.kernel_h, shape.kernel_w, channels)
    weights: Float64 = weight.astype(np.float64).reshape(split)
    return weights


def conv2d_forward(
    x: Array,
    weight: Array,
    y: Array,
    shape: Conv2dShape,
    epilogue: Epilogue,
    *,
    algorithm: str = "auto",
) -> None:
    """y = activation(x (*) weight + bias + residual); x, y NHWC, weight [out_c, KH, KW, C]."""
    _check_algorithm("conv2d_forward", algorithm)
    padded = _padded(shape)
    _interior(padded, shape)[...] = x
    weights = _weight_by_group(weight, shape)
    leading = (shape.batch, shape.out_h, shape.out_w)
    total = np.zeros((*leading, shape.out_c))
    for kh, kw, seen in _taps(padded, shape):
        product = _by_group(seen, shape.groups) @ weights[:, :, kh, kw].transpose(0, 2, 1)
        total += _from_groups(product, leading)
    y[...] = finish(total, epilogue)


def conv2d_backward_input(
    dy: Array, weight: Array, dx: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> None:
    """dx: every tap hands its share of dy back to the input elements it met."""
    _check_algorithm("conv2d_backward_input", algorithm)
    dpadded = _padded(shape)
    weights = _weight_by_group(weight, shape)
    gradient = _by_group(dy.astype(np.float64), shape.groups)
    leading = (shape.batch, shape.out_h, shape.out_w)
    for kh, kw, met in _taps(dpadded, shape):
        met += _from_groups(gradient @ weights[:, :, kh, kw], leading)
    dx[...] = _interior(dpadded, shape)


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Conv2dShape, *, algorithm: str = "auto"
) -> None:
    """dweight[o, kh, kw, c] = sum of dy[..., o] times the input elements tap (kh, kw) met."""
    _check_algorithm("conv2d_backward_weight", algorithm)
    padded = _padded(shape)
    _interior(padded, shape)[...] = x
    gradient = _by_group(dy.astype(np.float64), shape.groups).transpose(0, 2, 1)
    for kh, kw, seen in _taps(padded, shape):
        tap = gradient @ _by_group(seen, shape.groups)  # [groups, out_c/groups, C]
        dweight[:, kh, kw] = tap.reshape(shape.out_c, -1)


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    """dbias [C] = the sum of dy [..., C] over everything but the channels."""
    dbias[...] = dy.astype(np.float64).reshape(-1, dy.shape[-1]).sum(axis=0)
