"""The roofline, and that measuring it leaves the settings as they were."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith import _cpu
from convsmith.bench import limits
from convsmith.bench.limits import Limit, limit_of


def test_the_roofline_allows_the_larger_of_two_times() -> None:
    limit = Limit(gflops=100.0, gb_per_s=10.0)
    assert limit.ms(1e9, 1e6) == pytest.approx(10.0) and limit.bound(1e9, 1e6) == "compute"
    assert limit.ms(1e6, 1e9) == pytest.approx(100.0) and limit.bound(1e6, 1e9) == "memory"


def test_every_instruction_set_and_number_of_threads_is_measured() -> None:
    isa, before = _cpu.isa(), _cpu.num_threads()
    _cpu.set_num_threads(2)
    try:
        found = limits.measure_cpu([2])
        assert _cpu.num_threads() == 2 and _cpu.isa() == isa
    finally:
        _cpu.set_num_threads(before)
    assert set(found["gflops"]) == set(_cpu.available_isas())
    for rates in (*found["gflops"].values(), found["gb_per_s"]):
        assert set(rates) == {"1", "2"} and all(rate > 0 for rate in rates.values())
    limit = limit_of(found, "float32", 2)
    assert limit.gflops == found["gflops"][isa]["2"]


def test_a_yardstick_counts_what_a_sample_does() -> None:
    sticks = limits.Yardsticks(elements=1000)
    one = sticks.begin()
    assert one.flop == _cpu.yardstick_multiply_add(1) * limits._ROUNDS and one.bytes == 8000
    sticks.sample(one, np.ones(1000, np.float32))
    sticks.sample(one, np.ones(1000, np.float32))
    assert len(one.multiply_add.ms) == len(one.copy.ms) == 2
