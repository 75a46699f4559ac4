"""Inputs that no cache holds.

A layer of a network meets inputs that its predecessor has pushed through the caches, not its own
of a moment ago. So each call gets the next stretch of a ring of random numbers that is longer than
the last-level cache: before the ring comes round, everything else has gone through the cache.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.arrays import Array, float_dtype
from convsmith.bench.work import Input, Inputs

_LINE_BYTES = 64  # arrays begin at cache lines, as allocators give them
_UNKNOWN_CACHE_BYTES = 64 << 20
_BLOCK = (1 << 20) + 131  # drawn once and repeated; no power of two, so that no layer sees a period


def cache_sizes() -> dict[str, int]:
    """{"L1d": bytes, "L2": bytes, ...} as the first processor sees them; empty where unknown."""
    found = {}
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((entry / f).read_text().strip() for f in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and size:
            name = f"L{level}d" if kind == "Data" else f"L{level}"
            found[name] = int(size.rstrip("KMG")) * units.get(size[-1], 1)
    return found


def last_level_bytes() -> int:
    return max(cache_sizes().values(), default=_UNKNOWN_CACHE_BYTES)


class Ring:
    """Normal random numbers of one dtype, in NumPy's or CuPy's memory."""

    def __init__(self, dtype: str, cache_bytes: int, library: Any = np) -> None:
        self.dtype = float_dtype(dtype)
        self._library = library
        self._cache = cache_bytes // self.dtype.itemsize
        self._numbers: Array = None
        self._positive: Array = None
        self._next = 0

    def take(self, inputs: Sequence[Input]) -> Inputs:
        """The next stretch as arrays of these shapes. They are views: a set may be written to,
        and is then met again as it was left."""
        line = _LINE_BYTES // self.dtype.itemsize
        sizes = [-(-prod(i.shape) // line) * line for i in inputs]
        total = sum(sizes)
        self._grow(total)
        if self._next + total > len(self._numbers):
            self._next = 0
        taken = []
        for wanted, size in zip(inputs, sizes, strict=True):
            source = self._absolute() if wanted.positive else self._numbers
            stretch = source[self._next : self._next + prod(wanted.shape)]
            taken.append(stretch.reshape(wanted.shape))
            self._next += size
        return tuple(taken)

    def _grow(self, total: int) -> None:
        """So long that, between the end of a set's use and its next one, a cache goes by: less
        than a set is left out where the ring closes, and one is the set itself."""
        wanted = 2 * total + self._cache + self._cache // 4
        if self._numbers is not None and len(self._numbers) >= wanted:
            return
        self._numbers = self._positive = None
        block = np.random.default_rng(0).standard_normal(_BLOCK, dtype=np.float32)
        source = self._library.asarray(block.astype(self.dtype))
        self._numbers = self._library.empty(wanted, self.dtype)
        for begin in range(0, wanted, _BLOCK):
            stretch = self._numbers[begin : begin + _BLOCK]
            stretch[...] = source[: len(stretch)]
        self._next = 0

    def _absolute(self) -> Array:
        if self._positive is None:
            self._positive = abs(self._numbers)
        return self._positive


def ring_for(array_type: str, dtype: str) -> Ring:
    """A ring longer than the cache in front of these arrays' memory."""
    if array_type.startswith("cupy"):
        cupy = importlib.import_module("cupy")
        l2 = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["l2CacheSize"]
        return Ring(dtype, int(l2), cupy)
    return Ring(dtype, last_level_bytes())
