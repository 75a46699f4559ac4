"""gemm and convolution under the simt executor: the shared case list, by every tile.

The shape alone would send nearly all of these small cases to the smallest tile and would split
none, so the tile and the splits are forced in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from storage import complaint, execute

pytest.importorskip("convsmith._simt")

from convsmith import _simt
from convsmith.backends import simt
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_case

CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
OPS = ("gemm", *CONVOLUTIONS, "conv2d_backward_bias")
# Rows of tile_table.h: 128x128, 128x32, 64x64, 32x32; each with and without splits.
TILES = ((0, 0), (1, 2), (2, 0), (3, 3))


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    yield
    _simt.force_tile()
    _simt.set_schedule("round_robin", 0)


class Automatic:
    """The simt backend with algorithm="auto", for code that calls ops without one."""

    def __getattr__(self, op: str) -> Any:
        function = getattr(simt, op)
        return partial(function, algorithm="auto") if op in CONVOLUTIONS else function


@pytest.mark.parametrize("op", OPS)
def test_right_on_every_case(op: str) -> None:
    results = [run_case(c, op, simt, fill) for c in cases_for(op) for fill in c.fills]
    wrong = [f"{r.case} {r.fill}: {r.message}" for r in results if not r.ok]
    assert len(results) > 300
    assert not wrong, f"{len(wrong)} of {len(results)}: {wrong[:3]}"


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("row", "splits"), TILES)
def test_right_with_every_tile(op: str, row: int, splits: int) -> None:
    _simt.force_tile(row, splits)
    cases = cases_for(op)[row::4]
    results = [run_case(c, op, simt, fill) for c in cases for fill in c.fills]
    wrong = [f"{r.case} {r.fill}: {r.message}" for r in results if not r.ok]
    assert not wrong, f"{len(wrong)} of {len(results)}: {wrong[:3]}"


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("storage", ("float16", "bfloat16"))
@pytest.mark.parametrize("shift", (0, 1))
def test_right_in_sixteen_bits(op: str, storage: str, shift: int) -> None:
    """shift 0: vectors, and tensor cores where the channels allow; 1: element by element."""
    wrong = []
    for number, case in enumerate(cases_for(op)[shift::2]):
        _simt.force_tile(number % 5 - 1, number % 3)
        problem = case.problem(op, "real")
        said = complaint(Automatic(), problem, storage, shift)
        if said:
            wrong.append(f"{case.id}: {said}")
    assert not wrong, f"{len(wrong)}: {wrong[:3]}"


@pytest.mark.parametrize("op", OPS)
def test_bits_do_not_depend_on_the_order_of_threads(op: str) -> None:
    def bits(case: Any, storage: str) -> list[bytes]:
        problem = case.problem(op, "real")
        made = execute(Automatic(), problem, storage)
        return [made[name].tobytes() for name in sorted(made)]

    for number, case in enumerate(cases_for(op)[::9]):
        storage = ("float32", "bfloat16")[number % 2]
        _simt.force_tile(number % 4, 2)
        _simt.set_schedule("round_robin", 0)
        expected = bits(case, storage)
        for policy, seed in (("skew", 1), ("random", 2), ("random", 3)):
            _simt.set_schedule(policy, seed)
            assert bits(case, storage) == expected, f"{case.id} {storage} {policy}"


def test_force_tile_refuses() -> None:
    with pytest.raises(ValueError, match="force_tile: got row -2"):
        _simt.force_tile(-2, 0)


def test_beta_zero_never_reads_c() -> None:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import GemmShape

    a, b = np.ones((3, 40), np.float32), np.ones((40, 9), np.float32)
    for splits in (1, 2):
        _simt.force_tile(3, splits)
        c = np.full((3, 9), np.nan, np.float32)
        simt.gemm(a, b, c, GemmShape(3, 9, 40, False, False), Epilogue(), alpha=0.5, beta=0.0)
        assert (c == 20).all()
