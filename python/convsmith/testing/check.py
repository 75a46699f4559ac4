"""The engine of `convsmith check`: every op of every backend against the truth.

Backend functions are called directly, not through the ops, so that every array sits between
guard bands and every output starts as NaN. The truth is the reference backend in float64; the
reference itself is held against plain Python loops (testing/loops) on the smallest cases, since
agreeing with itself would prove nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convsmith.arrays import float_dtype
from convsmith.backends import reference
from convsmith.backends.table import OPS
from convsmith.testing import loops
from convsmith.testing.cases import DEFAULT_SEED, cases_for
from convsmith.testing.guard import GuardedArray
from convsmith.testing.network_cases import network_cases
from convsmith.testing.problem import (
    FILLS,
    Bounds,
    Case,
    NumpyArray,
    Out,
    Problem,
    call,
    evaluate,
    map_arrays,
)
from convsmith.testing.storage import bounds, rounded_to, stored_as
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
class Selection:
    """Which runs: by default the whole case list in float32, by every algorithm.

    algorithms: these alone, None for "auto" and all that a backend lists. cases: ids. networks:
    their convolution layers at this batch size, instead of the case list.
    """

    dtypes: tuple[str, ...] = ("float32",)
    algorithms: tuple[str, ...] | None = None
    fills: tuple[str, ...] = FILLS
    cases: tuple[str, ...] | None = None
    seed: int = DEFAULT_SEED
    networks: tuple[str, ...] = ()
    batch: int = 1

    def cases_for(self, op: str) -> tuple[Case, ...]:
        found = cases_for(op, self.seed)
        if self.networks:
            found = tuple(
                case for case in network_cases(self.networks, self.batch) if op in case.ops
            )
        return tuple(case for case in found if self.cases is None or case.id in self.cases)


EVERYTHING = Selection()


@dataclass(frozen=True)
class Result:
    """What one op of one backend did on one case and fill, by one algorithm, in one storage type.

    share: the worst error as a share of its tolerance, infinite for anything that is not a
    matter of degree (a NaN, a write outside an output, an exception). message tells where:
    output, index, what it got, what was expected.
    """

    op: str
    backend: str
    case: str
    fill: str
    share: float
    ok: bool
    index: tuple[int, ...] | None = None
    message: str = ""
    algorithm: str = ""
    dtype: str = "float32"


@dataclass(frozen=True)
class _Variant:
    """One way to call the op on the same inputs: an algorithm, or an output left out.

    inputs: the type that they are rounded to, so that the products of TF32 are exact.
    """

    problem: Problem
    inputs: str
    algorithm: str = ""
    label: str = ""
    normwise: bool = False

    @property
    def keywords(self) -> dict[str, str]:
        return {"algorithm": self.algorithm} if self.algorithm else {}


def _variants(
    problem: Problem, backend: Any, dtype: str, wanted: Sequence[str] | None
) -> Iterator[_Variant]:
    op = problem.op
    if op in _CHOOSES_ALGORITHM:
        offered = tuple(backend.algorithms(op, float_dtype(dtype), problem.shape))
        for name in ("auto", *offered):
            if wanted is not None and name not in wanted:
                continue
            meant = offered[0] if name == "auto" and offered else name
            inputs = "tf32" if meant == "tf32" else dtype
            yield _Variant(problem, inputs, name, f"algorithm={name}", "winograd" in meant)
        return
    if wanted is not None and "auto" not in wanted:
        return
    yield _Variant(problem, dtype)
    if op == "max_pool2d_forward":
        without = tuple(
            None if isinstance(a, Out) and a.name == "argmax" else a for a in problem.arguments
        )
        yield _Variant(replace(problem, arguments=without), dtype, label="argmax=None")


class _Failure(Exception):
    """A fault that has no size."""


def _execute(
    backend: Any, variant: _Variant, problem: Problem, shift: int
) -> dict[str, NumpyArray]:
    """Call the backend with every array guarded; _Failure for whatever it must not do."""
    inputs: list[tuple[GuardedArray, bytes]] = []

    def guarded(array: NumpyArray) -> NumpyArray:
        made = GuardedArray.holding(array, shift * (2 * len(inputs) + 1) % 16)
        inputs.append((made, made.array.tobytes()))
        return made.array

    outputs: dict[str, GuardedArray] = {}
    for number, out in enumerate(problem.outputs):
        made = GuardedArray(out.shape, out.dtype, shift * (2 * number + 1) % 16)
        if out.start is not None:
            made.array[...] = out.start
        outputs[out.name] = made
    arrays = {name: made.array for name, made in outputs.items()}
    try:
        call(backend, map_arrays(problem, guarded), arrays, **variant.keywords)
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
    got: dict[str, NumpyArray],
    expected: dict[str, NumpyArray],
    allowed: Bounds,
    normwise: bool,
) -> Comparison:
    worst = Comparison(0.0, None)
    for name, array in got.items():
        if normwise:
            found = compare_normwise(array, expected[name], WINOGRAD_NORMWISE)
        else:
            found = compare(array, expected[name], allowed[name])
        if found.share > worst.share or not found.ok:
            worst = replace(found, message=f"{name} {found.message}")
        if not worst.ok:
            break
    return worst


def run_variants(
    case: Case,
    op: str,
    backend: Any,
    fill: str,
    truth: Any = reference,
    *,
    dtype: str = "float32",
    algorithms: Sequence[str] | None = None,
) -> Iterator[Result]:
    """Run `op` on one case by every algorithm of `backend`, or by those of `algorithms`.

    truth: the backend that says, in float64, what is right.
    """

    def result(found: Comparison, variant: _Variant) -> Result:
        message = found.message
        if not found.ok and variant.label:
            message = f"{variant.label}: {message}"
        return Result(
            *(op, backend.NAME, case.id, fill, found.share, found.ok, found.index, message),
            algorithm=variant.algorithm,
            dtype=dtype,
        )

    plain = case.problem(op, fill)
    try:
        variants = list(_variants(plain, backend, dtype, algorithms))
    except Exception as error:  # of backend.algorithms
        yield result(_raised(error), _Variant(plain, dtype))
        return
    # One fill of a case meets arrays that are aligned for the widest vectors, the other one arrays
    # at odd places: kernels choose by the alignment.
    number = zlib.crc32(case.id.encode())
    aligned = (number + FILLS.index(fill)) % 2 == 0
    shift = 0 if aligned else number % 15 + 1
    truths: dict[str, tuple[Problem, dict[str, NumpyArray]]] = {}
    for variant in variants:
        if variant.inputs not in truths:
            rounded = rounded_to(plain, variant.inputs)
            truths[variant.inputs] = rounded, evaluate(truth, rounded)
        rounded, expected = truths[variant.inputs]
        allowed = {} if variant.normwise else bounds(rounded, expected, dtype, fill)
        yield result(_outcome(backend, variant, dtype, expected, allowed, shift), variant)


def _raised(error: Exception) -> Comparison:
    return Comparison(math.inf, None, f"raised {type(error).__name__}: {error}")


def _outcome(
    backend: Any,
    variant: _Variant,
    dtype: str,
    expected: dict[str, NumpyArray],
    allowed: Bounds,
    shift: int,
) -> Comparison:
    """Run it, judge it, and run it again for the same bits."""
    problem = stored_as(rounded_to(variant.problem, variant.inputs), dtype)
    try:
        got = _execute(backend, variant, problem, shift)
        found = _judge(got, expected, allowed, variant.normwise)
        if found.ok:
            again = _execute(backend, variant, problem, shift)
            for name, array in got.items():
                if array.tobytes() != again[name].tobytes():
                    raise _Failure(f"{name} differs from one run to the next")
    except _Failure as failure:
        return Comparison(math.inf, None, str(failure))
    except Exception as error:  # a bound or a comparison that the result made impossible
        return _raised(error)
    return found


def run_case(case: Case, op: str, backend: Any, fill: str, truth: Any = reference) -> Result:
    """The worst of ``run_variants`` in float32: the first failure, else the largest share."""
    worst: Result | None = None
    for result in run_variants(case, op, backend, fill, truth):
        if worst is None or result.share > worst.share or not result.ok:
            worst = result
        if not worst.ok:
            break
    assert worst is not None
    return worst


def _truth_and_cases(backend: Any, op: str, selection: Selection) -> tuple[Any, Sequence[Case]]:
    cases = selection.cases_for(op)
    if backend.NAME != reference.NAME:
        return reference, cases
    return loops, tuple(case for case in cases if case.cost <= LOOPS_LIMIT)


def run_check(
    ops: Sequence[str] | None = None,
    backends: Sequence[Any] = (reference,),
    selection: Selection = EVERYTHING,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Result]:
    """What is selected of the ops (all of them by default) on the given backend modules.

    What a backend's `supports` declines is not run. progress(done, total, label) is called after
    each case. A failure ends nothing: the rest is run all the same.
    """
    plan: list[tuple[Any, str, str, Any, Case, str]] = []
    for backend in backends:
        for op in OPS if ops is None else ops:
            truth, cases = _truth_and_cases(backend, op, selection)
            plan += [
                (backend, op, dtype, truth, case, fill)
                for dtype in selection.dtypes
                for case in cases
                for fill in case.fills
                if fill in selection.fills
            ]
    results: list[Result] = []
    for number, (backend, op, dtype, truth, case, fill) in enumerate(plan, start=1):
        if backend.supports(op, float_dtype(dtype), getattr(case, "shape", None)):
            results += run_variants(
                *(case, op, backend, fill, truth), dtype=dtype, algorithms=selection.algorithms
            )
        if progress is not None:
            progress(number, len(plan), f"{backend.NAME} {op}")
    return results
