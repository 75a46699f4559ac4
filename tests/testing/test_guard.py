"""Guard bands see a single changed byte on either side."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.testing.guard import BAND, GuardedArray

DTYPES = [np.float16, np.float32, np.float64, np.uint8, np.int32, np.int64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (1,), ()])
@pytest.mark.parametrize("shift", [0, 7])
def test_poisoned_contiguous_and_guarded(dtype: type, shape: tuple[int, ...], shift: int) -> None:
    guarded = GuardedArray(shape, dtype, shift)
    assert guarded.array.shape == shape and guarded.array.flags.c_contiguous
    if np.dtype(dtype).kind == "f":
        assert np.isnan(guarded.array).all()
    assert guarded.intact()
    guarded.array[...] = 1
    assert guarded.intact()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_write_outside_is_seen(dtype: type) -> None:
    for offset in (-BAND, -1, 6, 6 + BAND - 1):
        guarded = GuardedArray((6,), dtype)
        buffer = guarded._buffer
        buffer[BAND + offset] = 0
        assert not guarded.intact()


def test_another_nan_is_seen() -> None:
    guarded = GuardedArray((4,), np.float32)
    guarded._buffer[0] = np.float32(np.nan)
    assert not guarded.intact()


def test_holding_copies() -> None:
    values = np.arange(6.0).reshape(2, 3)
    guarded = GuardedArray.holding(values, 3)
    np.testing.assert_array_equal(guarded.array, values)
    guarded.array[0, 0] = 9
    assert values[0, 0] == 0
