"""Names for types that several folders share."""

from __future__ import annotations

from typing import Any, TypeAlias

# A C-contiguous numpy.ndarray or cupy.ndarray. There is no common base class to name, and a
# Protocol would reject half of what both can do.
Array: TypeAlias = Any

Shape: TypeAlias = tuple[int, ...]
