"""What both weight file formats share: the error, and an array that is still in its file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WeightFileError(ValueError):
    """A weight file that is damaged, of a wrong kind, or made for another model."""


@dataclass(frozen=True)
class StoredArray:
    """An array whose place, shape and dtype are known and whose values were not read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]


def bytes_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """In Python's unbounded ints, so that a forged shape cannot overflow."""
    return math.prod(shape) * dtype.itemsize
