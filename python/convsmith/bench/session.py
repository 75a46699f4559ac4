"""A run: every work, checked against the reference and then timed, in sweeps over all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np

from convsmith import machine
from convsmith.arrays import float_dtype
from convsmith.backends.table import ROWS, backend_named, registered
from convsmith.bench import limits
from convsmith.bench.cold import Ring, ring_for
from convsmith.bench.peers import name_of
from convsmith.bench.record import SCHEMA, Record, Row, describe_machine
from convsmith.bench.timing import Clock, EventClock, HostClock, Samples, alternate
from convsmith.bench.work import (
    LIMITS,
    Call,
    Contender,
    Input,
    Inputs,
    NumpyArray,
    Work,
    backend_contender,
    fault,
    truth,
)
from convsmith.bench.works import CONVOLUTIONS

_SWEEPS = 3


@dataclass
class Plan:
    """What to time and how. algorithms: None for the backend's own choice, () for every one that
    it lists, else these. threads is read for NumPy arrays only."""

    works: Sequence[Work]
    backends: Sequence[str]
    dtypes: Sequence[str] = ("float32",)
    threads: Sequence[int] = (1,)
    algorithms: Sequence[str] | None = None
    peers: Sequence[ModuleType] = ()
    repeats: int = 7
    peer_first: bool = False


def array_type(backend: str) -> str:
    """Of a kernel of the user's own: CuPy's where it can run on a GPU."""
    own = registered().get(backend)
    if own is not None:
        return "cupy.ndarray" if "cupy.ndarray" in own else "numpy.ndarray"
    return next(row.array_type for row in ROWS if backend in row.all_backends)


def _change_nothing(work: Work, contender: Contender) -> Contender:
    return contender


@dataclass
class _Race:
    """A row under way: fresh gives the next call of each of its contenders."""

    row: Row
    fresh: dict[str, Callable[[], Call]]
    yardstick: limits.Yardstick | None


class Session:
    """Runs a plan. After an interruption record() holds what was measured until then.

    alter(work, contender) replaces a contender before it is checked and timed; for tests. Raises
    ValueError for a plan whose backends take different kinds of arrays.
    """

    def __init__(
        self, plan: Plan, alter: Callable[[Work, Contender], Contender] = _change_nothing
    ) -> None:
        self.plan = plan
        self.alter = alter
        self.rows: list[Row] = []
        self.limits: dict[str, Any] = {}
        self.complete = False
        types = list(dict.fromkeys(array_type(name) for name in plan.backends))
        if len(types) > 1:
            raise ValueError(
                f"--backend: got {', '.join(plan.backends)}, wanted backends of one kind of array: "
                f"time {' and '.join(types)} in runs of their own"
            )
        self._array_type = types[0]
        self._on_gpu = self._array_type.startswith("cupy")
        self._cpu, _ = machine.native_module("_cpu")
        self._clock: Clock = EventClock() if self._on_gpu else HostClock()
        self._yardsticks = limits.Yardsticks() if self._cpu and not self._on_gpu else None
        self._rings: dict[str, Ring] = {}
        self._truth: tuple[tuple[str, str, str], Inputs, tuple[NumpyArray, ...]] | None = None

    def steps(self) -> list[tuple[Work, str, int | None]]:
        """(work, dtype, threads) in the order in which they are timed."""
        threads: Sequence[int | None] = (None,) if self._on_gpu else self.plan.threads
        return [
            (work, dtype, count)
            for work in self.plan.works
            for dtype in self.plan.dtypes
            for count in threads
            if not (self._on_gpu and work.op == "training_step")
        ]

    def can_run(self) -> bool:
        """Whether a backend of the plan has anything for any of its rows."""
        return any(
            self._algorithms(name, work, dtype)
            for work, dtype, _ in self.steps()
            for name in self.plan.backends
        )

    def measure_limits(self) -> None:
        """Before run(), for the shares of the limit; nothing where no native module is."""
        if self._on_gpu:
            self.limits = limits.measure_gpu(self.plan.dtypes)
        elif self._cpu:
            self.limits = limits.measure_cpu(self.plan.threads)

    def run(self) -> Iterator[tuple[Row, bool]]:
        """Yields each row after each of its turns, and whether it was the last. Puts back the
        threads.

        The samples of a row are spread over the whole run, in sweeps: what disturbs the machine
        for some seconds then spoils some samples of many rows, not all samples of one.
        """
        before = self._cpu.num_threads() if self._cpu else 0
        races: list[_Race] = []
        try:
            for number in range(self.sweeps):
                repeats = len(range(number, self.plan.repeats, self.sweeps))
                for place, step in enumerate(self.steps()):
                    self._set_threads(step[2])
                    if number == 0:
                        races.append(self._race(*step))
                    race = races[place]
                    self._time(race, repeats)
                    if number == 0:
                        self.rows.append(race.row)
                    yield race.row, number == self.sweeps - 1
            self.complete = True
        finally:
            if self._cpu:
                self._cpu.set_num_threads(before)

    @property
    def sweeps(self) -> int:
        return min(_SWEEPS, self.plan.repeats)

    def record(self) -> Record:
        plan, found = self.plan, describe_machine()
        for peer in plan.peers:
            found |= peer.describe()
        return {
            "schema": SCHEMA,
            "complete": self.complete,
            "machine": found,
            "settings": {
                "backends": list(plan.backends),
                "against": [name_of(peer) for peer in plan.peers],
                "threads": None if self._on_gpu else list(plan.threads),
                "dtypes": list(plan.dtypes),
                "repeats": plan.repeats,
                "order": "peer-first" if plan.peer_first else "subject-first",
                "clock": "CUDA events" if self._on_gpu else "host",
                "array_type": self._array_type,
            },
            "limits": self.limits,
            "rows": self.rows,
        }

    def _ring(self, dtype: str) -> Ring:
        if dtype not in self._rings:
            self._rings[dtype] = ring_for(self._array_type, dtype)
        return self._rings[dtype]

    def _set_threads(self, count: int | None) -> None:
        if count is None:
            return
        if self._cpu:
            self._cpu.set_num_threads(count)
        for peer in self.plan.peers:
            peer.set_threads(count)

    def _contenders(self, work: Work, dtype: str) -> list[Contender]:
        subjects = []
        for name in self.plan.backends:
            for algorithm in self._algorithms(name, work, dtype):
                subjects.append(backend_contender(work, name, algorithm, LIMITS[dtype]))
        peers = [c for peer in self.plan.peers for c in peer.contenders(work, dtype, self._on_gpu)]
        ordered = peers + subjects if self.plan.peer_first else subjects + peers
        return [self.alter(work, contender) for contender in ordered]

    def _algorithms(self, backend: str, work: Work, dtype: str) -> Sequence[str | None]:
        """What to pass as the algorithm; empty where the backend has nothing for this work."""
        module = backend_named(backend)
        kind = float_dtype(dtype)
        needed = (*CONVOLUTIONS[:1], "adam_update") if work.op == "training_step" else (work.op,)
        if not all(module.supports(op, kind, work.shape) for op in needed):
            return ()
        if work.op not in CONVOLUTIONS or self.plan.algorithms is None:
            return (None,)
        listed = module.algorithms(work.op, kind, work.shape)
        if not listed:  # a registered kernel has one way only, without a name
            return (None,)
        wanted = self.plan.algorithms or listed
        return [name for name in wanted if name in listed]

    def _race(self, work: Work, dtype: str, count: int | None) -> _Race:
        """The row without samples, and its contenders, checked."""
        inputs, expected = self._expected(work, dtype)
        entries: dict[str, Any] = {}
        fresh: dict[str, Callable[[], Call]] = {}
        for contender in self._contenders(work, dtype):
            error = self._fault(contender, inputs, expected)
            samples = None if error else asdict(Samples())
            entries[contender.name] = {"peer": contender.peer, "error": error, "samples": samples}
            if not error:
                fresh[contender.name] = self._fresh(contender, work, dtype)
        yardstick = self._yardsticks.begin() if self._yardsticks else None
        limit = limits.limit_of(self.limits, dtype, count) if self.limits else None
        moved = work.elements * float_dtype(dtype).itemsize
        row = {
            "op": work.op,
            "geometry": work.geometry,
            "uses": [asdict(use) for use in work.uses],
            "batch": work.batch,
            "dtype": dtype,
            "threads": count,
            "flop": work.flop,
            "bytes": moved,
            "limit_ms": limit.ms(work.flop, moved) if limit else None,
            "bound": limit.bound(work.flop, moved) if limit else None,
            "contenders": entries,
            "yardstick": asdict(yardstick) if yardstick else None,
        }
        return _Race(row, fresh, yardstick)

    def _time(self, race: _Race, repeats: int) -> None:
        """Some rounds more."""
        sticks, yardstick = self._yardsticks, race.yardstick

        def each_round() -> None:
            if sticks and yardstick:
                (cold,) = self._ring("float32").take([Input((sticks.elements,))])
                sticks.sample(yardstick, cold)

        found = alternate(race.fresh, repeats=repeats, clock=self._clock, each_round=each_round)
        for name, samples in found.items():
            known = race.row["contenders"][name]["samples"]
            for key, values in asdict(samples).items():
                known[key] += values
        if yardstick:
            race.row["yardstick"] = asdict(yardstick)

    def _expected(self, work: Work, dtype: str) -> tuple[Inputs, tuple[NumpyArray, ...]]:
        """Inputs and the reference's results, remembered for the next row: the same work with
        another number of threads."""
        key = (work.op, work.geometry, dtype)
        if self._truth is None or self._truth[0] != key:
            inputs = tuple(array.copy() for array in self._ring(dtype).take(work.inputs))
            self._truth = (key, inputs, truth(work, inputs))
        return self._truth[1:]

    def _fresh(self, contender: Contender, work: Work, dtype: str) -> Callable[[], Call]:
        ring, shapes = self._ring(dtype), contender.shapes(work)
        return lambda: contender.bind(ring.take(shapes))

    @staticmethod
    def _fault(contender: Contender, inputs: Inputs, expected: tuple[Any, ...]) -> str:
        try:
            with np.errstate(all="ignore"):
                return fault(contender, inputs, expected)
        except Exception as error:  # a contender that fails is a row of the table, not the end
            first = (str(error).splitlines() or [""])[0]
            return f"{type(error).__name__}: {first}"
