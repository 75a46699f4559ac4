"""Turns, warm-ups, and what a busy machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from convsmith.bench import timing
from convsmith.bench.limits import _peak
from convsmith.bench.statistics import (
    PROCESSOR,
    WALL,
    clock_for,
    geometric_mean,
    location,
    robust_spread,
    spread,
    typical_ms,
)
from convsmith.bench.timing import HostClock, Samples, alternate


class Script:
    """A clock that says what it is told to, and notes who was timed."""

    settle_s = 0.0

    def __init__(self, *waited_ms: float) -> None:
        self.waited = list(waited_ms)
        self.timed: list[str] = []

    def time(self, call: Callable[[], Any], samples: Samples) -> None:
        self.timed.append(call())
        samples.add(10.0, 8.0, self.waited.pop(0) if self.waited else 0.0)


def contenders(calls: list[str]) -> dict[str, Callable[[], Callable[[], str]]]:
    def fresh(name: str) -> Callable[[], Callable[[], str]]:
        return lambda: lambda: (calls.append(name), name)[1]

    return {name: fresh(name) for name in ("ours", "theirs")}


def test_every_round_runs_each_after_a_warm_up() -> None:
    calls: list[str] = []
    clock, rounds = Script(), []
    found = alternate(
        contenders(calls), repeats=3, clock=clock, each_round=lambda: rounds.append(len(calls))
    )
    assert calls == ["ours", "ours", "theirs", "theirs"] * 3
    assert clock.timed == ["ours", "theirs"] * 3 and rounds == [0, 4, 8]
    assert found["ours"].ms == [10.0] * 3


def test_disturbed_rounds_are_repeated_but_not_for_ever() -> None:
    once = Script(0, 5.0)
    alternate(contenders([]), repeats=3, clock=once)
    assert once.timed == ["ours", "theirs"] * 4
    always = Script(*[5.0] * 100)
    alternate(contenders([]), repeats=3, clock=always)
    assert always.timed == ["ours", "theirs"] * 6


def test_each_call_gets_inputs_of_its_own() -> None:
    numbers = iter(range(100))
    seen: list[int] = []

    def fresh() -> Callable[[], None]:
        number = next(numbers)
        return lambda: seen.append(number)

    alternate({"it": fresh}, repeats=3, clock=HostClock(settle_s=0.0))
    assert len(seen) == len(set(seen)) >= 6


def test_the_host_clock() -> None:
    samples = Samples()
    clock = HostClock()
    clock.time(lambda: time.sleep(0.02), samples)
    clock.time(lambda: sum(range(300_000)), samples)
    asleep, at_work = zip(samples.ms, samples.cpu_ms, strict=True)
    assert asleep[0] >= 20 and asleep[1] < 10
    assert at_work[1] > 1


def test_without_the_systems_help_nothing_counts_as_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "_TASKS", "/nowhere")
    samples = Samples()
    HostClock().time(lambda: None, samples)
    assert samples.waited_ms == [0.0] and len(samples.undisturbed()) == 1


def made(ms: list[float], cpu: list[float], waited: list[float]) -> Samples:
    return Samples(ms, cpu, waited, [0] * len(ms))


def test_the_clock_for_a_comparison() -> None:
    quiet = made([10, 11, 12, 40], [9, 9, 9, 9], [0, 0, 0, 30])
    busy = made([10, 31, 32, 40], [8, 9, 9, 9], [0, 20, 20, 30])
    unknown = made([10, 31, 32, 40], [0, 0, 0, 0], [0, 20, 20, 30])
    assert clock_for(quiet, quiet) == WALL and typical_ms(quiet, WALL, 2) == 11
    assert clock_for(quiet, busy) == PROCESSOR and typical_ms(busy, PROCESSOR, 1) == 10
    assert clock_for(unknown) == WALL
    assert spread(quiet, WALL, 2) == pytest.approx(0.5 / 11)


def test_what_waiting_hides_does_not_halve_serial_code() -> None:
    serial = made([30, 30, 31], [10, 10, 10], [20, 20, 20])
    parallel = made([20, 21, 20], [20, 20, 20], [20, 22, 20])
    assert typical_ms(serial, PROCESSOR, 2) == 10  # not 5
    assert typical_ms(parallel, PROCESSOR, 2) == 10 and spread(parallel, PROCESSOR, 2) == 0
    assert _peak(1e7, serial, 2) == pytest.approx(1.0)


def test_geometric_mean_location_and_spread() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
    assert geometric_mean([]) != geometric_mean([])  # NaN
    centre, error = location([1.0] * 5)
    assert centre == 0 and error == 0
    assert location([1.0, 1.1, 0.9, 1.05, 5.0])[1] > 0
    assert robust_spread([1.0, 1.0, 1.0, 50.0]) == 0
