"""Element-wise arithmetic of arrays that have the same shape."""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check


def add(a: Array, b: Array) -> Array:
    """y = a + b. No broadcasting: both have the same shape and float dtype, C-contiguous.

    Raises ValueError for different shapes or a wrong memory layout, TypeError for a wrong dtype
    or array type.
    """
    op = "add"
    dtype = check.floats(op, "a", a)
    check.like(op, "b", b, "a", a, a.shape)
    backend = select(op, (a,), dtype)
    y = backend.empty(a.shape, dtype)
    backend.add(a, b, y)
    return y
