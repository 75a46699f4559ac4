"""Every op of the simt backend, in every storage, under several orders of threads.

A right kernel gives the same bits whatever the order in which its threads run between barriers
and whatever the order of its blocks. scripts/simt_exhaustive.py multiplies everything out.
"""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

pytest.importorskip("ml_dtypes")
pytest.importorskip("convsmith._simt")

import kernels
from every_case import POLICIES, in_packs, runs, wrong

from convsmith.backends import simt
from convsmith.backends.table import OPS
from convsmith.testing.cases import cases_for

# Odd seeds reverse the blocks; each policy meets both orders.
SCHEDULES = tuple(itertools.product(POLICIES, (0, 1, 2)))


def _spread(op, count):
    """`count` cases from the whole list, the cheap ones preferred, some of them in packs."""
    cases = sorted(cases_for(op), key=lambda case: (case.cost, case.id))
    cheap = [case for case in cases[: len(cases) * 3 // 4] if not in_packs(case)]
    packs = [case for case in cases if in_packs(case)][1:2]
    return [*cheap[:: max(1, len(cheap) // count)][:count], *packs]


@pytest.mark.parametrize("op", OPS)
def test_some_cases_under_every_schedule(op):
    assert [found for run in runs(op, _spread(op, 6)) if (found := wrong(run, SCHEDULES))] == []


@pytest.mark.slow
def test_every_case_reaches_every_kernel():
    """Each run under two schedules, in turn from all pairs of neighbours."""
    if shutil.which("nm") is None:
        pytest.skip("nm, which lists the module's kernels, is not installed")
    kernels.take_launched()
    said = []
    turn = itertools.cycle(zip(SCHEDULES, (*SCHEDULES[4:], *SCHEDULES[:4]), strict=True))
    for op in OPS:
        said += [found for run in runs(op) if (found := wrong(run, next(turn)))]
    assert said == []
    existing = kernels.existing()
    launched = kernels.take_launched()
    assert len(existing) > 400 and launched <= set(existing)
    assert sorted(existing[at] for at in set(existing) - launched) == []


def test_every_op_is_there():
    # One that is missing would silently be left out of the tests above.
    assert all(simt.supports(op, np.dtype(np.float32)) for op in OPS)
