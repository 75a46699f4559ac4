"""The few places where arrays go from one device to another, always because somebody asked."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from convsmith.arrays import Array


def to_host(array: Array) -> Any:
    """``array`` as a NumPy array; a CuPy array is copied."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return array.get()
    return np.asarray(array)


def to_cupy(array: Array) -> Any:
    """``array`` as a CuPy array; a NumPy array is copied. Raises ImportError without CuPy."""
    return importlib.import_module("cupy").asarray(array)


def like(array: Array, example: Array) -> Any:
    """``array`` on the device where ``example`` is."""
    return to_host(array) if isinstance(example, np.ndarray) else to_cupy(array)
