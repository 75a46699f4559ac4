"""Every native kernel over the whole case list, under every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith import _cpu
from convsmith.backends import native_cpu
from convsmith.backends.table import OPS
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_check
from convsmith.testing.guard import GuardedArray
from convsmith.testing.problem import Out, call, map_arrays


@pytest.mark.parametrize("op", OPS)
def test_right_on_every_case(op: str, isa: str) -> None:
    results = run_check([op], [native_cpu])
    assert len(results) >= 2
    wrong = [f"{r.case} {r.fill}: {r.message}" for r in results if not r.ok]
    assert not wrong, f"{len(wrong)} of {len(results)} under {isa}: {wrong[:3]}"


def outputs_of(op: str, threads: int) -> list[bytes]:
    """The bits of all outputs of all real-filled cases of one op."""
    _cpu.set_num_threads(threads)
    bits = []
    for case in cases_for(op):
        if "real" not in case.fills:
            continue
        problem = case.problem(op, "real")
        arrays = {}
        for out in problem.outputs:
            assert isinstance(out, Out)
            array = GuardedArray(out.shape, out.dtype, 0).array
            if out.start is not None:
                array[...] = out.start
            arrays[out.name] = array
        keywords = {"algorithm": "auto"} if op in ALGORITHMIC else {}
        call(native_cpu, map_arrays(problem, np.copy), arrays, **keywords)
        bits += [arrays[name].tobytes() for name in sorted(arrays)]
    return bits


ALGORITHMIC = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


@pytest.mark.parametrize("op", OPS)
def test_bits_do_not_depend_on_the_number_of_threads(op: str) -> None:
    one = outputs_of(op, 1)
    assert outputs_of(op, 2) == one
    assert outputs_of(op, 5) == one
