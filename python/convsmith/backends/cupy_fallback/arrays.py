"""The array module behind an array, the type to compute in, and the taps of a sliding window."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convsmith.arrays import Array

if TYPE_CHECKING:
    from convsmith.ops.shapes import Conv2dShape, Pool2dShape

    Window: TypeAlias = Conv2dShape | Pool2dShape

Index: TypeAlias = tuple[slice, slice, slice]


def module_of(array: Array) -> Any:
    """cupy for a CuPy array, which cannot exist before cupy was imported; else numpy."""
    return np if isinstance(array, np.ndarray) else sys.modules["cupy"]


def compute_dtype(array: Array) -> Any:
    """float64 stays float64; whatever else is stored, sums are in float32."""
    return np.dtype(np.float64 if array.dtype == np.float64 else np.float32)


def wide(array: Array) -> Array:
    """The array in its compute type: itself where it already has it."""
    return array.astype(compute_dtype(array), copy=False)


def add_to(view: Array, values: Array) -> None:
    """view += values in one step: total[index] += values would also copy the view onto itself."""
    view += values


def taps(shape: Window) -> Iterator[tuple[int, Index, Index]]:
    """(tap, outputs, inputs) for each tap kh * kernel_w + kw that meets the input at all.

    y[outputs] are the outputs whose window has this tap inside the input, x[inputs] what it meets
    there: two views of one shape, in which no element occurs twice.
    """
    everything = slice(None)
    for kh in range(shape.kernel_h):
        rows = _met(shape.out_h, shape.in_h, shape.stride_h, kh * shape.dilation_h - shape.pad_top)
        if rows is None:
            continue
        for kw in range(shape.kernel_w):
            offset = kw * shape.dilation_w - shape.pad_left
            columns = _met(shape.out_w, shape.in_w, shape.stride_w, offset)
            if columns is not None:
                tap = kh * shape.kernel_w + kw
                yield tap, (everything, rows[0], columns[0]), (everything, rows[1], columns[1])


def _met(out: int, size: int, stride: int, offset: int) -> tuple[slice, slice] | None:
    """The outputs i with 0 <= i * stride + offset < size, and those inputs; None for none."""
    first = max(-(offset // stride), 0)  # the least i with i * stride + offset >= 0
    last = min((size - 1 - offset) // stride, out - 1)
    if last < first:
        return None
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)
