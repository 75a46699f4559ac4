"""Array types, and the floating-point types that arrays may have."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

# A C-contiguous numpy.ndarray or cupy.ndarray. There is no common base class to name, and a
# Protocol would reject half of what both can do.
Array: TypeAlias = Any

Shape: TypeAlias = tuple[int, ...]

# In native byte order: a big-endian dtype equals none of these.
_FLOATS = frozenset(np.dtype(name) for name in ("float16", "float32", "float64"))
_BFLOAT16 = "bfloat16"  # of ml_dtypes, known by its name alone: the package is optional
_FLOAT32 = np.dtype(np.float32)


def is_float(dtype: Any) -> bool:
    """float16, bfloat16, float32 or float64."""
    return dtype in _FLOATS or dtype.name == _BFLOAT16


def float_dtype(dtype: DTypeLike) -> Any:
    """The dtype for a name or type. Raises TypeError unless it is a float, ImportError for
    "bfloat16" without the package that has it.
    """
    if dtype == _BFLOAT16:
        try:
            return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
        except ImportError as error:
            raise ImportError(f"bfloat16 needs the package ml_dtypes: {error}") from error
    found = np.dtype(dtype)
    if not is_float(found):
        raise TypeError(f"got dtype {found}, wanted float32 (or float64, float16, bfloat16)")
    return found


def wide_dtype(dtype: Any) -> Any:
    """What is kept of arrays of this dtype where rounding adds up: float32 for 16 bits.

    Statistics and parameters of a BatchNorm, losses, and what an optimizer updates.
    """
    return _FLOAT32 if dtype.itemsize == 2 and is_float(dtype) else dtype
