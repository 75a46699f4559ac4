"""The shared case list as runs of the simt backend: every op and case in every storage.

What else decides which kernel runs is the alignment and, for gemm and convolution, the tile, the
splits of the depth and the algorithm. The shape alone would send nearly all of these small cases to
the smallest tile and would split none, so one choice is forced, another from case to case. Cases
in whole packs, which alone reach the tensor cores and the vector loads, are run by every choice.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cuda"))
from storage import DTYPES, execute, rounded_to, verdict

from convsmith.backends import simt
from convsmith.testing.cases import Conv2dCase, GemmCase, cases_for
from convsmith.testing.problem import Case, NumpyArray, map_arrays

POLICIES = ("round_robin", "skew", "random")
CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
TILED = ("gemm", *CONVOLUTIONS, "conv2d_backward_bias")
# Row of tile_table.h (-1: as the shape says) and number of splits (0: likewise).
TILES = ((-1, 0), (0, 2), (1, 0), (2, 3), (3, 0), (0, 0), (1, 3), (2, 0), (3, 2))
EVERY_TILE = TILES[1:5]
# Elements off a 16-byte border: 0 allows vectors and tensor cores, 4 only vectors of 4 elements.
SHIFTS = (0, 1)
PACK_SHIFTS = (0, 4)


@dataclass(frozen=True)
class Run:
    """One op on one case by one way of running it."""

    op: str
    case: Case
    storage: str
    fill: str
    shift: int = 0
    tile: tuple[int, int] = (-1, 0)
    algorithm: str = ""

    def __str__(self) -> str:
        return (
            f"{self.op} {self.case.id} {self.storage} {self.fill} shift {self.shift} "
            f"tile {self.tile[0]} splits {self.tile[1]} {self.algorithm}".rstrip()
        )


class _Named:
    """The simt backend with the algorithm given."""

    def __init__(self, algorithm: str) -> None:
        self._keywords = {"algorithm": algorithm} if algorithm else {}

    def __getattr__(self, op: str) -> Any:
        return partial(getattr(simt, op), **self._keywords)


@contextmanager
def _forced_tile(tile: tuple[int, int]) -> Iterator[None]:
    simt._simt.force_tile(*tile)
    try:
        yield
    finally:
        simt._simt.force_tile()


def in_tf32(array: NumpyArray) -> NumpyArray:
    """Cut to the 10 bits of mantissa that TF32 keeps, so that its products are exact."""
    if array.dtype != np.float32:
        return array
    return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def algorithms(op: str, case: Case, storage: str) -> tuple[str, ...]:
    """What may be asked for by name; "" for an op that takes no algorithm."""
    if op not in CONVOLUTIONS:
        return ("",)
    return ("auto", *simt.algorithms(op, storage, case.problem(op, "integer").shape))


def in_packs(case: Case) -> bool:
    """Whether every size that lies contiguous in memory is a multiple of four."""
    if isinstance(case, GemmCase):
        sizes = (case.shape.gemm_m, case.shape.gemm_n, case.shape.gemm_k)
    elif isinstance(case, Conv2dCase):
        shape = case.shape
        sizes = (shape.in_c // shape.groups, shape.out_c // shape.groups)
    else:
        return False
    return all(size % 4 == 0 for size in sizes)


Choice = tuple[int, tuple[int, int], str]


def _choices(op: str, case: Case, storage: str) -> list[Choice]:
    """(shift, tile, algorithm) by which to run the case."""
    if op not in TILED:
        return [(shift, TILES[0], "") for shift in SHIFTS]
    names = algorithms(op, case, storage)
    turn = zlib.crc32(f"{case.id} {op} {storage}".encode())
    turn, tile = divmod(turn, len(TILES))
    turn, shift = divmod(turn, len(SHIFTS))
    one = (SHIFTS[shift], TILES[tile], names[turn % len(names)])
    if not in_packs(case):
        return [one]
    return [one, *itertools.product(PACK_SHIFTS, EVERY_TILE, names)]


def runs(op: str, cases: Iterable[Case] | None = None) -> Iterator[Run]:
    """Each case in each storage."""
    for case in cases_for(op) if cases is None else cases:
        for storage in DTYPES:
            # In 16 bits integers are nothing special.
            fills = case.fills if storage == "float32" else case.fills[-1:]
            for number, (shift, tile, algorithm) in enumerate(_choices(op, case, storage)):
                fill = fills[number % len(fills)]
                yield Run(op, case, storage, fill, shift, tile, algorithm)


def wrong(run: Run, schedules: Iterable[tuple[str, int]]) -> str | None:
    """What is wrong under the first schedule, or in which other one the bits differ."""
    problem = run.case.problem(run.op, run.fill)
    if run.algorithm == "tf32":
        problem = map_arrays(problem, in_tf32)
    if run.storage != "float32":
        problem = rounded_to(problem, DTYPES[run.storage])
    backend = _Named(run.algorithm)
    usual: dict[str, bytes] | None = None
    for policy, seed in schedules:
        with _forced_tile(run.tile), simt.schedule(policy, seed):
            try:
                outputs = execute(backend, problem, run.storage, run.shift)
            except (simt._simt.SimtError, simt._simt.DeviceError) as error:
                return f"{run}: {policy} {seed}: {error}"
        bits = {name: array.tobytes() for name, array in outputs.items()}
        if usual is None:
            usual = bits
            said = verdict(problem, outputs, run.storage)
            if said:
                return f"{run}: {policy} {seed}: {said}"
        elif bits != usual:
            return f"{run}: other bits under {policy} {seed}"
    return None
