"""Which rows of two records differ by more than the noise of their measurement.

A row's time is the lower quartile of its samples: wall time where both records have enough
undisturbed samples of everything that counts, else what the row took at least without the others,
from processor time and the time spent waiting (statistics.alone_ms). Others on the machine change
that only a little: a thread that had to give way finds its caches filled by others. What a switch
costs the kernel lies between nothing and reading the second-level cache anew, so new / old is
computed for both, and only what holds for both counts.

The time is divided by what the yardsticks taken beside the row say that the row's operations and
bytes should cost at that moment, so that a machine that is slower as a whole does not count. What
is left of new / old is held against its noise: the largest of the standard error of this row
(bootstrap, yardsticks included), the run-to-run spread over all rows (from the median absolute
deviation, so that a few changed rows do not hide themselves), and a floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convsmith.bench.record import Record, Row, samples_of, timed, title
from convsmith.bench.statistics import PROCESSOR, clock_for, location, robust_spread, values
from convsmith.bench.timing import Samples

LEAST_CHANGE = 0.10  # less is never worth a flag
SIGMAS = 3.5  # of a noise that is the largest of three estimates, and with LEAST_CHANGE beside it
_FLOOR = 0.015  # of the standard deviation: layouts of memory differ from process to process
_ENOUGH_ROWS = 6  # for a spread over rows
_LEAST_SHARE = 0.5  # of a sample that switches leave, at least


@dataclass(frozen=True)
class Change:
    """between: the least and the most that new time over old may be, after normalising; noise:
    the standard deviation of either's logarithm."""

    row: Row
    backend: str
    clock: str
    between: tuple[float, float]
    noise: float

    @property
    def ratio(self) -> float:
        return math.sqrt(self.between[0] * self.between[1])

    @property
    def threshold(self) -> float:
        return max(math.log1p(LEAST_CHANGE), SIGMAS * self.noise)

    @property
    def verdict(self) -> str:
        least, most = (math.log(bound) for bound in self.between)
        if least > self.threshold:
            return "slower"
        return "faster" if most < -self.threshold else "same"

    @property
    def blind(self) -> bool:
        """Whether a kernel that takes a quarter longer might not have been seen."""
        doubt = math.log(self.between[1] / self.between[0])
        return self.threshold + doubt > math.log(1.25)


@dataclass(frozen=True)
class Comparison:
    """unmatched: (in the old record only, in the new one only), as counts of backend results."""

    changes: tuple[Change, ...]
    unmatched: tuple[int, int]
    run_to_run: float

    @property
    def slower(self) -> list[Change]:
        return [change for change in self.changes if change.verdict == "slower"]

    @property
    def faster(self) -> list[Change]:
        return [change for change in self.changes if change.verdict == "faster"]


_Key = tuple[object, ...]


def _subjects(record: Record) -> dict[_Key, tuple[Row, str, Samples]]:
    found: dict[_Key, tuple[Row, str, Samples]] = {}
    for row in record["rows"]:
        for name, samples in timed(row, None):
            key = (row["op"], row["geometry"], row["dtype"], row["threads"], name)
            found[key] = (row, name, samples)
    return found


def _yardsticks(row: Row) -> tuple[Samples, ...]:
    """(multiply_add, copy), or nothing."""
    yardstick = row["yardstick"]
    if yardstick is None or not yardstick["multiply_add"]["ms"]:
        return ()
    return samples_of(yardstick["multiply_add"]), samples_of(yardstick["copy"])


def _expected(row: Row, clock: str) -> tuple[float, float]:
    """(logarithm of the milliseconds that the yardsticks give the row, its standard error)."""
    sticks = _yardsticks(row)
    if not sticks:
        return 0.0, 0.0
    parts = []
    for samples, unit in zip(sticks, ("flop", "bytes"), strict=True):
        centre, error = location(values(samples, clock, row["threads"]))
        parts.append((row[unit] / row["yardstick"][unit] * math.exp(centre), error))
    total = sum(ms for ms, _ in parts)
    if total <= 0:
        return 0.0, 0.0
    return math.log(total), math.hypot(*(ms / total * error for ms, error in parts))


def _without_refills(samples: Samples, refill_ms: float) -> Samples:
    """As if no switch had emptied the caches, where each cost that much."""
    saved = [refill_ms * count for count in samples.switches]
    return Samples(
        [ms - less for ms, less in zip(samples.ms, saved, strict=True)],
        [ms - less for ms, less in zip(samples.cpu_ms, saved, strict=True)],
        samples.waited_ms,
        samples.switches,
    )


def _measured(row: Row, samples: Samples, clock: str, refill_ms: float) -> tuple[float, float]:
    """(logarithm of the row's milliseconds, its standard error)."""
    times = values(samples, clock, row["threads"])
    if clock == PROCESSOR:
        relieved = values(_without_refills(samples, refill_ms), clock, row["threads"])
        pairs = zip(times, relieved, strict=True)
        times = [max(less, ms * _LEAST_SHARE) for ms, less in pairs]
    return location(times)


def _refill_ms(record: Record) -> float:
    """What it costs to read a second-level cache anew, after another process had it."""
    size = record["machine"]["caches"].get("L2", 0)
    rate = record["limits"].get("gb_per_s", {}).get("1")  # read and written, and this only reads
    return float(2 * size / rate / 1e6) if rate else 0.0


def compare(old: Record, new: Record) -> Comparison:
    """Every backend result that both records have. Raises ValueError where there is none."""
    before, after = _subjects(old), _subjects(new)
    common = [key for key in after if key in before]
    if not common:
        raise ValueError(
            "bench: --compare: got records without a common row (op, geometry, dtype, threads, "
            "backend), wanted two of the same options"
        )
    found = []
    for key in common:
        (old_row, name, old_samples), (new_row, _, new_samples) = before[key], after[key]
        # Those of one record alone say nothing about the other's machine.
        both = bool(_yardsticks(old_row) and _yardsticks(new_row))
        sticks = (*_yardsticks(old_row), *_yardsticks(new_row)) if both else ()
        clock = clock_for(old_samples, new_samples, *sticks)
        distances, errors = [], []
        for share in (0.0, 1.0):  # of a refill that a switch costs this kernel
            was = _measured(old_row, old_samples, clock, share * _refill_ms(old))
            now = _measured(new_row, new_samples, clock, share * _refill_ms(new))
            expected = [_expected(row, clock) if both else (0.0, 0.0) for row in (old_row, new_row)]
            distances.append(now[0] - was[0] - (expected[1][0] - expected[0][0]))
            errors.append(math.hypot(was[1], now[1], *(error for _, error in expected)))
        found.append((new_row, name, clock, (min(distances), max(distances)), errors[0]))
    middles = [sum(nearest) / 2 for *_, nearest, _ in found]
    between = robust_spread(middles) if len(found) >= _ENOUGH_ROWS else 0.0
    changes = tuple(
        Change(
            row,
            name,
            clock,
            (math.exp(nearest[0]), math.exp(nearest[1])),
            max(error, between, _FLOOR),
        )
        for row, name, clock, nearest, error in found
    )
    return Comparison(changes, (len(before) - len(common), len(after) - len(common)), between)


def _described(record: Record) -> str:
    machine = record["machine"]
    return f"{machine['cpu']}, commit {machine['commit']}, {machine['date']}"


def lines(old: Record, new: Record, found: Comparison) -> Iterator[str]:
    """What changed, and how much could have been seen."""
    yield f"old: {_described(old)}"
    yield f"new: {_described(new)}"
    if old["machine"]["cpu"] != new["machine"]["cpu"]:
        yield "note: different processors; the yardsticks divide out only part of that"
    changed: Sequence[Change] = [*found.slower, *found.faster]
    for change in changed:
        threads = change.row["threads"]
        where = f"batch {change.row['batch']}, {threads or '-'} thread(s), {change.row['dtype']}"
        yield (
            f"{change.verdict.upper()} {title(change.row)} {change.row['op']} ({where}, "
            f"{change.backend}): {change.ratio:.2f} times as long, noise +-{change.noise:.0%}, "
            f"{change.clock} time"
        )
    on_processor = sum(change.clock == PROCESSOR for change in found.changes)
    yield (
        f"{len(found.changes)} compared, {len(found.slower)} slower, {len(found.faster)} faster; "
        f"run-to-run noise {found.run_to_run:.1%}; {on_processor} by processor time, since the "
        f"machine was busy; only in one record: {sum(found.unmatched)}"
    )
    blind = sum(change.blind for change in found.changes)
    if blind:
        yield f"{blind} too noisy to see a quarter more time: use more --repeats, or a quieter hour"
