"""What is said about samples: which clock to trust, medians, quartiles, means of ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from convsmith.bench.timing import Samples

WALL, PROCESSOR = "wall", "processor"

_LEAST_UNDISTURBED = 3
_RESAMPLES = 400


def clock_for(*contenders: Samples) -> str:
    """The clock on which these can be compared.

    The wall's where each had enough undisturbed samples. Else what is left without the others, see
    alone_ms, if the system tells processor time.
    """
    quiet = all(len(s.undisturbed()) >= min(_LEAST_UNDISTURBED, len(s.ms)) for s in contenders)
    if quiet or not all(min(s.cpu_ms) > 0 for s in contenders):
        return WALL
    return PROCESSOR


def alone_ms(samples: Samples, threads: int | None) -> list[float]:
    """What each call would have taken alone on the machine, at least.

    No less than the processor time, shared by the threads; and no less than the time on the wall
    without all that its threads waited for others. The second is the larger one for code that
    keeps fewer threads busy than it might.
    """
    triples = zip(samples.ms, samples.cpu_ms, samples.waited_ms, strict=True)
    return [max(cpu / (threads or 1), ms - waited) for ms, cpu, waited in triples]


def values(samples: Samples, clock: str, threads: int | None) -> list[float]:
    """Milliseconds by that clock: the undisturbed ones, if any, of the wall's."""
    if clock == PROCESSOR:
        return alone_ms(samples, threads)
    return samples.undisturbed() or samples.ms


def typical_ms(samples: Samples, clock: str, threads: int | None) -> float:
    """The median on the wall; by the other clock the lower quartile: what disturbs only adds."""
    percent = 50 if clock == WALL else 25
    return float(np.percentile(values(samples, clock, threads), percent))


def spread(samples: Samples, clock: str, threads: int | None) -> float:
    """Half the distance between the quartiles, as a share of the median."""
    low, middle, high = np.percentile(values(samples, clock, threads), (25, 50, 75))
    return float((high - low) / 2 / middle) if middle > 0 else 0.0


def geometric_mean(ratios: Iterable[float]) -> float:
    """NaN for none."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else math.nan


def location(values: Sequence[float]) -> tuple[float, float]:
    """(logarithm of the lower quartile, its standard error by the bootstrap).

    What disturbs a run only ever adds time, so the lower quartile moves less than the median; and
    unlike the minimum it does not keep falling with more samples.
    """
    array = np.asarray(values, np.float64)
    centre = math.log(float(np.percentile(array, 25)))
    if len(array) < 2:
        return centre, 0.0
    rng = np.random.default_rng(0)
    drawn = array[rng.integers(0, len(array), (_RESAMPLES, len(array)))]
    error = float(np.std(np.log(np.percentile(drawn, 25, axis=1))))
    return centre, error


def robust_spread(values: Sequence[float]) -> float:
    """The standard deviation that the median absolute deviation stands for."""
    array = np.asarray(values, np.float64)
    return float(1.4826 * np.median(np.abs(array - np.median(array)))) if len(array) else 0.0
