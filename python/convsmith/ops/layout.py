"""The border to NCHW, the only place where another layout exists."""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.ops import check
from convsmith.ops.interchange import borrow


def to_nhwc(x: Array) -> Array:
    """[N, C, H, W] as C-contiguous [N, H, W, C], of any dtype.

    Weights too: PyTorch's [C_out, C_in / groups, KH, KW] becomes ours. A copy, unless the memory
    already has that order; the shape alone says what is which, never the strides. Raises
    ValueError for another rank, TypeError for what is no array.
    """
    return _permute("to_nhwc", x, (0, 2, 3, 1), "[N, C, H, W]")


def to_nchw(x: Array) -> Array:
    """[N, H, W, C] as C-contiguous [N, C, H, W]: the inverse of to_nhwc, and raises as it does."""
    return _permute("to_nchw", x, (0, 3, 1, 2), "[N, H, W, C]")


def _permute(op: str, x: Array, axes: tuple[int, int, int, int], layout: str) -> Array:
    (array,), give_back = borrow(op, x=x)
    if array.ndim != 4:
        raise check.bad_shape(op, "x", array.shape, f"4 dimensions {layout}")
    result = array.transpose(axes)
    return give_back(result if result.flags.c_contiguous else result.copy(order="C"))
