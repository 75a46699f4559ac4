"""Batches of arrays that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convsmith import random
from convsmith.arrays import Array
from convsmith.backends.table import row_of
from convsmith.ops.geometry import as_int, check_range


class Batches:
    """Iterates over (x[rows], y[rows]), or over x[rows] alone without y; may be iterated again.

    The last batch is smaller where the rows do not divide, unless drop_last. With shuffle, every
    pass takes a new order from the one global generator (convsmith.seed), and batches are copies;
    without, they are views. x and y may be of any strides or a numpy.memmap; batches are contiguous
    and read when it is their turn. Raises ValueError if x and y have different numbers of rows,
    TypeError for what is no array.
    """

    def __init__(
        self,
        x: Array,
        y: Array | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> None:
        x = _checked("x", x)
        y = None if y is None else _checked("y", y)
        if not x.shape or (y is not None and y.shape[:1] != x.shape[:1]):
            raise ValueError(
                f"Batches: got x of shape {x.shape} and y of shape "
                f"{None if y is None else y.shape}, wanted the same number of rows in both"
            )
        self.x = x
        self.y = y
        self.batch_size = as_int("Batches", "batch_size", batch_size)
        check_range("Batches", "batch_size", self.batch_size, 1)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)

    def __len__(self) -> int:
        """The number of batches in one pass."""
        rows = int(self.x.shape[0])
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        rows = int(self.x.shape[0])
        order = random.generator().permutation(rows) if self.shuffle else None
        for number in range(len(self)):
            start = number * self.batch_size
            stop = min(start + self.batch_size, rows)
            chosen: Any = slice(start, stop) if order is None else order[start:stop]
            yield self._rows(self.x, chosen), self._rows(self.y, chosen)

    @staticmethod
    def _rows(array: Array | None, chosen: Any) -> Any:
        if array is None:
            return None
        # take copies rows of a kilobyte or more twice as fast as indexing does.
        if not isinstance(chosen, slice):
            return np.take(array, chosen, axis=0)
        rows = array[chosen]
        return rows if rows.flags.c_contiguous else rows.copy(order="C")


def _checked(name: str, array: Array) -> Array:
    # A plain array over the same file, so that nothing is read yet.
    array = array.view(np.ndarray) if isinstance(array, np.memmap) else array
    row_of("Batches", name, array)
    return array
