"""Medians of alternating runs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# The thread pools of other libraries spin for some milliseconds after their last job, on the cores
# that the next contender needs. Each run starts after they went to sleep, then warms up its own.
SETTLE_S = 0.03


def alternate(
    contenders: Mapping[str, Callable[[], Any]], *, repeats: int = 5, settle_s: float = SETTLE_S
) -> dict[str, float]:
    """The median time of each contender, in milliseconds.

    Every round runs each contender once, in turn, so that a drift of the machine meets all alike.
    Before a timed call comes an untimed one of the same contender: it wakes its threads and, for
    all contenders alike, leaves the caches as one's own last call leaves them.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            time.sleep(settle_s)
            run()
            start = time.perf_counter()
            run()
            times_ms[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(times) for name, times in times_ms.items()}


def geometric_mean(ratios: Iterable[float]) -> float:
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logarithms) / len(logarithms))
