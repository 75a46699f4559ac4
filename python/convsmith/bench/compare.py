"""Which rows of two records differ by more than the noise of their measurement.

A row's time is the lower quartile of its samples: wall time where both records have enough
undisturbed samples of everything that counts, else processor time, which others on the machine
hardly change. It is divided
by what the yardsticks taken beside the row say that the row's operations and bytes should cost at
that moment, so that a machine that is slower as a whole does not count. What is left of
new / old is held against its noise: the largest of the standard error of this row (bootstrap,
yardsticks included), the run-to-run spread over all rows (from the median absolute deviation, so
that a few changed rows do not hide themselves), and a floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convsmith.bench.record import Record, Row, samples_of, timed, title
from convsmith.bench.statistics import PROCESSOR, clock_for, location, robust_spread, values
from convsmith.bench.timing import Samples

LEAST_CHANGE = 0.10  # less is never worth a flag
SIGMAS = 4.0  # among a hundred rows and a few runs, none by chance
_FLOOR = 0.015  # of the standard deviation: layouts of memory differ from process to process
_ENOUGH_ROWS = 6  # for a spread over rows


@dataclass(frozen=True)
class Change:
    """ratio: new time over old after normalising; noise: standard deviation of its logarithm."""

    row: Row
    backend: str
    clock: str
    ratio: float
    noise: float

    @property
    def verdict(self) -> str:
        distance = math.log(self.ratio)
        if abs(distance) <= max(math.log1p(LEAST_CHANGE), SIGMAS * self.noise):
            return "same"
        return "slower" if distance > 0 else "faster"


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
        centre, error = location(values(samples, clock))
        parts.append((row[unit] / row["yardstick"][unit] * math.exp(centre), error))
    total = sum(ms for ms, _ in parts)
    if total <= 0:
        return 0.0, 0.0
    return math.log(total), math.hypot(*(ms / total * error for ms, error in parts))


def _normalised(row: Row, samples: Samples, clock: str) -> tuple[float, float]:
    centre, error = location(values(samples, clock))
    expected, uncertain = _expected(row, clock)
    return centre - expected, math.hypot(error, uncertain)


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
        sticks = (*_yardsticks(old_row), *_yardsticks(new_row))
        clock = clock_for(old_samples, new_samples, *sticks)
        was, was_error = _normalised(old_row, old_samples, clock)
        now, now_error = _normalised(new_row, new_samples, clock)
        found.append((new_row, name, clock, now - was, math.hypot(was_error, now_error)))
    distances = [distance for *_, distance, _ in found]
    between = robust_spread(distances) if len(found) >= _ENOUGH_ROWS else 0.0
    changes = tuple(
        Change(row, name, clock, math.exp(distance), max(error, between, _FLOOR))
        for row, name, clock, distance, error in found
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
            f"{change.backend}): {change.ratio:.2f} of its time, noise +-{change.noise:.0%}, "
            f"{change.clock} time"
        )
    on_processor = sum(change.clock == PROCESSOR for change in found.changes)
    yield (
        f"{len(found.changes)} compared, {len(found.slower)} slower, {len(found.faster)} faster; "
        f"run-to-run noise {found.run_to_run:.1%}; {on_processor} by processor time, since the "
        f"machine was busy; only in one record: {sum(found.unmatched)}"
    )
