"""Arrays between guard bands, so that a write outside an array is seen.

A guarded array is a C-contiguous view into a larger buffer. The bands on both sides hold a NaN
with a known bit pattern: a write there changes the pattern, and a read from there that reaches
a result turns it into NaN. The view starts at an offset that differs from array to array, so that
vectors are loaded from addresses with no alignment beyond that of the element.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convsmith.arrays import is_float

Array = npt.NDArray[Any]

BAND = 96  # elements on each side; more than the widest vector store or tile row by far

# Quiet NaNs with a recognisable payload, by width in bytes; that of 2 is one in bfloat16 as well.
_PATTERNS: dict[int, Array] = {
    2: np.array(0x7FDA, np.uint16),
    4: np.array(0x7FC5A5A5, np.uint32),
    8: np.array(0x7FF8A5A5A5A5A5A5, np.uint64),
}
_INTEGER_BYTE = 0xA5


class GuardedArray:
    """`array` is the view to hand to a kernel; `intact()` tells whether the bands survived."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, shift: int = 0) -> None:
        """A poisoned array (NaN, or bytes 0xA5 in an integer one), `shift` elements further."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64))
        self._buffer: Array = np.empty(BAND + shift + size + BAND, kind)
        if is_float(kind):
            pattern = _PATTERNS[kind.itemsize]
            self._buffer.view(pattern.dtype)[...] = pattern
        else:
            self._buffer.view(np.uint8)[...] = _INTEGER_BYTE
        self._before = self._buffer[: BAND + shift]
        self._after = self._buffer[BAND + shift + size :]
        self._saved = (self._before.tobytes(), self._after.tobytes())
        self.array: Array = self._buffer[BAND + shift : BAND + shift + size].reshape(shape)

    @classmethod
    def holding(cls, values: Array, shift: int = 0) -> GuardedArray:
        """A guarded copy of `values`."""
        guarded = cls(values.shape, values.dtype, shift)
        guarded.array[...] = values
        return guarded

    def intact(self) -> bool:
        """Whether both bands still hold, bit for bit, what was written into them."""
        return (self._before.tobytes(), self._after.tobytes()) == self._saved
