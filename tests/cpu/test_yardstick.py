"""The yardsticks: what they count is what they do, on every instruction set and thread count."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from convsmith import _cpu


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_multiply_add_counts_the_work_of_every_thread(isa: str, threads: int) -> None:
    _cpu.set_num_threads(threads)
    lanes = {"generic": 4, "avx2": 8, "avx512": 16}[isa]
    assert _cpu.yardstick_multiply_add(10) == 2 * 10 * 12 * lanes * threads


def test_the_number_of_threads_may_change_meanwhile() -> None:
    before, done = _cpu.num_threads(), threading.Event()

    def change() -> None:
        while not done.is_set():
            for count in (1, 8):
                _cpu.set_num_threads(count)

    other = threading.Thread(target=change)
    other.start()
    try:
        counted = {_cpu.yardstick_multiply_add(1000) for _ in range(200)}
    finally:
        done.set()
        other.join()
        _cpu.set_num_threads(before)
    assert max(counted) <= 8 * min(counted)


@pytest.mark.parametrize("size", [0, 1, 15, 64, 1000, (1 << 18) + 5])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_copy(isa: str, size: int, shift: int) -> None:
    x = np.arange(size, dtype=np.float32)
    buffer = np.full(size + 32, -1, np.float32)
    _cpu.yardstick_copy(x, buffer[shift : shift + size])
    assert np.array_equal(buffer[shift : shift + size], x)
    assert (buffer[:shift] == -1).all() and (buffer[shift + size :] == -1).all()


def test_wrong_arguments() -> None:
    x = np.ones(4, np.float32)
    with pytest.raises(ValueError, match="rounds: got 0, wanted at least 1"):
        _cpu.yardstick_multiply_add(0)
    with pytest.raises(ValueError, match="y: got shape"):
        _cpu.yardstick_copy(x, np.ones(5, np.float32))
    with pytest.raises(TypeError, match="x: got dtype float64"):
        _cpu.yardstick_copy(x.astype(np.float64), x)
