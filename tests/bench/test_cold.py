"""No call meets inputs that a cache still holds."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.bench.cold import Ring, cache_sizes, last_level_bytes
from convsmith.bench.work import Input

CACHE = 1 << 16


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(100,), (3, 5, 7, 11), (40, 1000)])
def test_between_two_uses_of_memory_a_whole_cache_goes_by(
    dtype: str, shape: tuple[int, ...]
) -> None:
    ring = Ring(dtype, CACHE)
    used_until: dict[int, int] = {}
    moved = again = 0
    while again < 6:
        arrays = ring.take([Input(shape), Input((17,))])
        begin = address(arrays[0])
        if begin in used_until:
            again += 1
            assert moved - used_until[begin] >= CACHE
        for array in arrays:
            assert array.flags.c_contiguous and array.dtype == dtype
            moved += -(-array.nbytes // 64) * 64  # whole cache lines
        used_until[begin] = moved


def test_arrays_of_a_set_do_not_overlap_and_begin_at_cache_lines() -> None:
    ring = Ring("float32", CACHE)
    a, b = ring.take([Input((3, 5)), Input((7,))])
    assert not np.shares_memory(a, b) and (address(b) - address(a)) % 64 == 0


def test_the_numbers_are_normal_or_positive() -> None:
    ring = Ring("float32", CACHE)
    x, variance = ring.take([Input((20000,)), Input((20000,), positive=True)])
    assert abs(float(x.mean())) < 0.05 and abs(float(x.std()) - 1) < 0.05
    assert (variance >= 0).all() and (x < 0).any()


def test_a_set_larger_than_the_cache_lets_the_ring_grow() -> None:
    ring = Ring("float32", CACHE)
    ring.take([Input((10,))])
    (large,) = ring.take([Input((CACHE,))])
    (next_one,) = ring.take([Input((CACHE // 8,))])
    assert large.shape == (CACHE,) and not np.shares_memory(large, next_one)


def test_the_last_level_cache_is_read_from_the_system() -> None:
    sizes = cache_sizes()
    assert last_level_bytes() > 0
    assert all(size > 1024 for size in sizes.values())
