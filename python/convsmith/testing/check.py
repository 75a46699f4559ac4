"""The engine of `convsmith check`: every op of every backend against the truth.

Backend functions are called directly, not through the ops, so that every array sits between
guard bands and every output starts as NaN. The truth is the reference backend in float64; the
reference itself is held against plain Python loops (testing/loops) on the smallest cases, since
agreeing with itself would prove nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convsmith.backends import reference
from convsmith.backends.table import OPS
from convsmith.testing import loops
from convsmith.testing.cases import DEFAULT_SEED, cases_for
from convsmith.testing.guard import GuardedArray
from convsmith.testing.problem import (
    Case,
    NumpyArray,
    Out,
    Problem,
    call,
    evaluate,
    map_arrays,
)
from convsmith.testing.tolerance import (
    WINOGRAD_NORMWISE,
    Comparison,
    compare,
    compare_normwise,
)

# Scalar steps up to which plain Python loops serve as the truth.
LOOPS_LIMIT = 4000

_CHOOSES_ALGORITHM = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


@dataclass(frozen=True)
class Result:
    """What one op of one backend did on one case and fill.

    share: the worst error as a share of its tolerance, infinite for anything that is not a
    matter of degree (a NaN, a write outside an output, an exception). index: where in `output`.
    """

    op: str
    backend: str
    case: str
    fill: str
    share: float
    ok: bool
    index: tuple[int, ...] | None = None
    message: str = ""


@dataclass(frozen=True)
class _Variant:
    """One way to call the op on the same inputs: an algorithm, or an output left out."""

    label: str
    problem: Problem
    keywords: dict[str, Any]
    normwise: bool = False


def _variants(problem: Problem, backend: Any) -> list[_Variant]:
    op = problem.op
    if op in _CHOOSES_ALGORITHM:
        offered = backend.algorithms(op, np.dtype(np.float32), problem.shape)
        # TF32 rounds its inputs, which no tolerance for float32 can allow: it has tests of its own.
        names = tuple(name for name in offered if name != "tf32")
        made = []
        for name in ("auto", *names):
            meant = names[0] if name == "auto" and names else name
            normwise = "winograd" in meant
            made.append(_Variant(f"algorithm={name}", problem, {"algorithm": name}, normwise))
        return made
    if op == "max_pool2d_forward":
        without = tuple(
            None if isinstance(a, Out) and a.name == "argmax" else a for a in problem.arguments
        )
        return [
            _Variant("", problem, {}),
            _Variant("argmax=None", replace(problem, arguments=without), {}),
        ]
    return [_Variant("", problem, {})]


class _Failure(Exception):
    """A fault that has no size."""


def _execute(backend: Any, variant: _Variant, shift: int) -> dict[str, NumpyArray]:
    """Call the backend with every array guarded; _Failure for whatever it must not do."""
    inputs: list[tuple[GuardedArray, bytes]] = []

    def guarded(array: NumpyArray) -> NumpyArray:
        made = GuardedArray.holding(array, (shift + 3 * len(inputs)) % 16)
        inputs.append((made, made.array.tobytes()))
        return made.array

    outputs: dict[str, GuardedArray] = {}
    for number, out in enumerate(variant.problem.outputs):
        made = GuardedArray(out.shape, out.dtype, (shift + 5 * number + 1) % 16)
        if out.start is not None:
            made.array[...] = out.start
        outputs[out.name] = made
    arrays = {name: made.array for name, made in outputs.items()}
    try:
        call(backend, map_arrays(variant.problem, guarded), arrays, **variant.keywords)
    except Exception as error:  # any exception of a kernel under test is its failure, not ours
        raise _Failure(f"raised {type(error).__name__}: {error}") from error
    for name, made in outputs.items():
        if not made.intact():
            raise _Failure(f"wrote outside the output {name}")
    for made, before in inputs:
        if not made.intact() or made.array.tobytes() != before:
            raise _Failure(f"changed an input of shape {made.array.shape}, or memory beside it")
    return arrays


def _judge(
    variant: _Variant, got: dict[str, NumpyArray], expected: dict[str, NumpyArray]
) -> Comparison:
    bounds = {} if variant.normwise else variant.problem.bounds(expected)
    worst = Comparison(0.0, None)
    for name, array in got.items():
        if variant.normwise:
            found = compare_normwise(array, expected[name], WINOGRAD_NORMWISE)
        else:
            found = compare(array, expected[name], bounds[name])
        if found.share > worst.share or not found.ok:
            worst = replace(found, message=f"{name} {found.message}")
        if not worst.ok:
            break
    return worst


def run_case(case: Case, op: str, backend: Any, fill: str, truth: Any = reference) -> Result:
    """Run `op` on one case by every algorithm of `backend`; the worst outcome, first failure.

    truth: the backend that says, in float64, what is right.
    """
    problem = case.problem(op, fill)
    expected = evaluate(truth, problem)
    shift = zlib.crc32(case.id.encode()) % 16
    worst = Comparison(0.0, None)
    label = ""
    try:
        for variant in _variants(problem, backend):
            label = variant.label
            got = _execute(backend, variant, shift)
            found = _judge(variant, got, expected)
            if not found.ok:
                worst = found
                break
            if found.share > worst.share:
                worst = found
            again = _execute(backend, variant, shift)
            for name, array in got.items():
                if array.tobytes() != again[name].tobytes():
                    raise _Failure(f"{name} differs from one run to the next")
    except _Failure as failure:
        worst = Comparison(math.inf, None, str(failure))
    except Exception as error:  # e.g. backend.algorithms itself
        worst = Comparison(math.inf, None, f"raised {type(error).__name__}: {error}")
    message = worst.message if worst.ok or not label else f"{label}: {worst.message}"
    return Result(op, backend.NAME, case.id, fill, worst.share, worst.ok, worst.index, message)


def _truth_and_cases(backend: Any, op: str, seed: int) -> tuple[Any, tuple[Case, ...]]:
    if backend.NAME != reference.NAME:
        return reference, cases_for(op, seed)
    return loops, tuple(case for case in cases_for(op, seed) if case.cost <= LOOPS_LIMIT)


def run_check(
    ops: Sequence[str] | None = None,
    backends: Sequence[Any] = (reference,),
    *,
    seed: int = DEFAULT_SEED,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Result]:
    """Every case and fill of the ops (all of them by default) on the given backend modules.

    What a backend's `supports` declines is not run. progress(done, total, label) is called after
    each run. A failure ends nothing: the rest is run all the same.
    """
    plan: list[tuple[Any, str, Any, Case, str]] = []
    for backend in backends:
        for op in OPS if ops is None else ops:
            truth, cases = _truth_and_cases(backend, op, seed)
            plan += [(backend, op, truth, case, fill) for case in cases for fill in case.fills]
    results = []
    for number, (backend, op, truth, case, fill) in enumerate(plan, start=1):
        if backend.supports(op, np.dtype(np.float32), getattr(case, "shape", None)):
            results.append(run_case(case, op, backend, fill, truth))
        if progress is not None:
            progress(number, len(plan), f"{backend.NAME} {op}")
    return results
