"""Every op of the simt backend, on the shared case list, under several orders of threads.

A right kernel gives the same bits whatever the order in which its threads run between barriers
and whatever the order of its blocks; that the bits are right is for tests/cuda to say.
"""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.backends.table import OPS
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_case
from convsmith.testing.problem import call

simt = pytest.importorskip("convsmith.backends.simt")
if simt.unavailable_reason():
    pytest.skip(simt.unavailable_reason(), allow_module_level=True)

MINE = tuple(op for op in OPS if simt.supports(op, np.dtype(np.float32)))
FIRST = ("round_robin", 0)
# Odd seeds reverse the blocks; each policy meets both orders.
OTHERS = (("round_robin", 1), ("skew", 0), ("skew", 3), ("random", 0), ("random", 7))
CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


def _spread(op, count):
    """`count` cases from the whole list, the cheap ones preferred."""
    cases = sorted(cases_for(op), key=lambda case: case.cost)
    cheap = cases[: max(count, len(cases) * 3 // 4)]
    return cheap[:: max(1, len(cheap) // count)][:count]


def _outputs(problem, algorithm):
    made = {}
    for out in problem.outputs:
        array = simt.empty(out.shape, out.dtype)
        if out.start is not None:
            array[...] = out.start
        made[out.name] = array
    keywords = {"algorithm": algorithm} if algorithm else {}
    call(simt, problem, made, **keywords)
    return {name: array.tobytes() for name, array in made.items()}


def _differences(op, cases, schedules):
    found = []
    for case in cases:
        problem = case.problem(op, case.fills[-1])
        algorithms = ("",)
        if op in CONVOLUTIONS:
            algorithms = ("auto", *simt.algorithms(op, np.dtype(np.float32), problem.shape))
        for algorithm in algorithms:
            with simt.schedule(*FIRST):
                wanted = _outputs(problem, algorithm)
            for policy, seed in schedules:
                with simt.schedule(policy, seed):
                    if _outputs(problem, algorithm) != wanted:
                        found.append((case.id, algorithm, policy, seed))
    return found


@pytest.mark.parametrize("op", MINE)
def test_bits_do_not_depend_on_the_schedule(op):
    assert _differences(op, _spread(op, 8), OTHERS) == []


@pytest.mark.slow
@pytest.mark.parametrize("op", MINE)
def test_bits_do_not_depend_on_the_schedule_on_any_case(op):
    assert _differences(op, cases_for(op), OTHERS) == []


@pytest.mark.parametrize("op", MINE)
def test_results_are_right(op):
    for case in _spread(op, 12):
        for fill in case.fills:
            with simt.schedule("random", 1):
                result = run_case(case, op, simt, fill)
            assert result.ok, result


def test_every_op_is_there():
    # One that is missing would silently be left out of the tests above.
    assert MINE == OPS
