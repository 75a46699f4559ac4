"""Clocks, and runs in turn."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# The thread pools of other libraries spin for some milliseconds after their last job, on the cores
# that the next contender needs. Each run starts after they went to sleep, then warms up its own.
SETTLE_S = 0.03

# A sample during which the process waited longer than this share of it for a processor that others
# used says more about them.
BUSY_SHARE = 0.02

_TASKS = "/proc/self/task"


@dataclass
class Samples:
    """One entry a call: milliseconds by the clock on the wall, of processor time in all threads,
    and spent ready to run while others had the processor, over all threads; and how often a thread
    had to give way. The last three are 0 where the system does not tell, and for a GPU."""

    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    switches: list[int] = field(default_factory=list)

    def add(
        self, ms: float, cpu_ms: float = 0.0, waited_ms: float = 0.0, switches: int = 0
    ) -> None:
        self.ms.append(ms)
        self.cpu_ms.append(cpu_ms)
        self.waited_ms.append(waited_ms)
        self.switches.append(switches)

    def undisturbed(self) -> list[float]:
        """The wall times of those calls that had the processors they wanted."""
        pairs = zip(self.ms, self.waited_ms, strict=True)
        return [ms for ms, waited in pairs if waited <= BUSY_SHARE * ms]


class Clock(Protocol):
    settle_s: float

    def time(self, call: Callable[[], Any], samples: Samples) -> None:
        """One call, one sample."""
        ...


def _waited_ns() -> int:
    """Time that this process's threads have spent waiting for a processor; 0 where unknown."""
    total = 0
    try:
        tasks = os.listdir(_TASKS)
    except OSError:
        return 0
    for task in tasks:
        with contextlib.suppress(OSError, IndexError), open(f"{_TASKS}/{task}/schedstat") as file:
            total += int(file.read().split()[1])
    return total


def _switches() -> int:
    """How often threads of this process had to give way to others."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


class HostClock:
    """Calls that return when they are done."""

    def __init__(self, settle_s: float = SETTLE_S) -> None:
        self.settle_s = settle_s

    def time(self, call: Callable[[], Any], samples: Samples) -> None:
        waited, switches = _waited_ns(), _switches()
        cpu = time.process_time_ns()
        start = time.perf_counter_ns()
        call()
        end = time.perf_counter_ns()
        cpu_ms = (time.process_time_ns() - cpu) / 1e6
        waited_ms = max(0, _waited_ns() - waited) / 1e6
        samples.add((end - start) / 1e6, cpu_ms, waited_ms, _switches() - switches)


class EventClock:
    """Device time by CUDA events on the default stream, each call with a cold L2 cache."""

    settle_s = 0.0

    def __init__(self) -> None:
        self._cupy = importlib.import_module("cupy")
        cuda = self._cupy.cuda
        size = cuda.runtime.getDeviceProperties(cuda.Device().id)["l2CacheSize"]
        self._flush = self._cupy.empty(2 * max(size, 1 << 24), self._cupy.uint8)

    def time(self, call: Callable[[], Any], samples: Samples) -> None:
        cuda = self._cupy.cuda
        self._flush.fill(0)  # twice the L2 cache: nothing of the inputs is left in it
        start, end = cuda.Event(), cuda.Event()
        start.record()
        call()
        end.record()
        end.synchronize()
        samples.add(float(cuda.get_elapsed_time(start, end)))


def alternate(
    fresh: Mapping[str, Callable[[], Callable[[], Any]]],
    *,
    repeats: int = 5,
    clock: Clock | None = None,
    each_round: Callable[[], Any] = lambda: None,
) -> dict[str, Samples]:
    """The samples of each contender; fresh[name]() gives its next call, bound to its inputs.

    Every round runs each contender once, in turn, so that a drift of the machine meets all alike.
    Before a timed call comes an untimed one of the same contender, which wakes its threads. On a
    busy machine up to as many rounds again are run, until all have `repeats` undisturbed samples.
    """
    clock = clock or HostClock()
    found = {name: Samples() for name in fresh}
    for number in range(2 * repeats):
        each_round()
        for name, make in fresh.items():
            warm, timed = make(), make()
            time.sleep(clock.settle_s)
            warm()
            del warm
            clock.time(timed, found[name])
            del timed
        if number + 1 >= repeats and all(
            len(samples.undisturbed()) >= repeats for samples in found.values()
        ):
            break
    return found
