"""The op suite on the device: against float64, against the simt executor, against itself."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np

from convsmith.backends import native_cuda
from convsmith.testing.cases import cases_for
from convsmith.testing.check import EVERYTHING, Selection, run_check
from convsmith.testing.on_device import on_numpy
from convsmith.testing.problem import Case, Problem, call, map_arrays

CHOOSES_ALGORITHM = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


def check_op(item: str) -> dict[str, Any]:
    """'OP' or 'OP DTYPE': the whole case list against float64, between guard bands."""
    op, _, dtype = item.partition(" ")
    selection = Selection(dtypes=(dtype,)) if dtype else EVERYTHING
    results = run_check([op], [on_numpy(native_cuda)], selection)
    failures = [result for result in results if not result.ok]
    worst = max(results, key=lambda result: (not result.ok, result.share), default=None)
    return {
        "ok": bool(results) and not failures,
        "runs": len(results),
        "failures": [f"{r.case} ({r.fill}): {r.message}" for r in failures[:5]],
        "failed_runs": len(failures),
        "worst_share": None if worst is None else worst.share,
        "error": f"{len(failures)} of {len(results)} runs failed" if failures else "",
    }


def small_cases(op: str, count: int, least_cost: int = 0) -> list[Case]:
    """The cheapest real-filled cases that are worth the name."""
    cases = [case for case in cases_for(op) if "real" in case.fills and case.cost >= least_cost]
    return sorted(cases, key=lambda case: case.cost)[:count]


def outputs_of(backend: Any, problem: Problem) -> dict[str, Any]:
    """What a backend that takes NumPy arrays makes of a problem."""
    arrays = {}
    for out in problem.outputs:
        arrays[out.name] = np.zeros(out.shape, out.dtype)
        if out.start is not None:
            arrays[out.name][...] = out.start
    keywords = {"algorithm": "auto"} if problem.op in CHOOSES_ALGORITHM else {}
    call(backend, map_arrays(problem, np.copy), arrays, **keywords)
    return arrays


def compare_with_simt(op: str) -> dict[str, Any]:
    """The same sources, run by the GPU and by the executor: how far apart, and how often equal."""
    simt = importlib.import_module("convsmith.backends.simt")
    gpu = on_numpy(native_cuda)
    worst, equal, total = 0.0, 0, 0
    for case in small_cases(op, 4, least_cost=100):
        problem = case.problem(op, "real")
        if not simt.supports(op, np.dtype(np.float32), problem.shape):
            continue
        ours, theirs = outputs_of(gpu, problem), outputs_of(simt, problem)
        for name, array in ours.items():
            total += 1
            equal += array.tobytes() == theirs[name].tobytes()
            worst = max(worst, _distance(array, theirs[name]))
    return {"ok": total > 0 and worst < 1e-5, "distance": worst, "equal": equal, "outputs": total}


def same_bits(op: str) -> dict[str, Any]:
    """Two runs of every real-filled case that is not tiny give the same bits."""
    gpu = on_numpy(native_cuda)
    cases = sorted((c for c in cases_for(op) if "real" in c.fills), key=lambda case: -case.cost)
    for case in cases[:12]:
        problem = case.problem(op, "real")
        first, second = outputs_of(gpu, problem), outputs_of(gpu, problem)
        for name, array in first.items():
            if array.tobytes() != second[name].tobytes():
                return {"ok": False, "error": f"{case.id}: {name} differs between two runs"}
    return {"cases": min(len(cases), 12)}


def run_small_cases(op: str) -> dict[str, Any]:
    """A few cases without guard bands or CuPy's pool, so that a sanitizer sees each allocation."""
    cupy = importlib.import_module("cupy")
    cupy.cuda.set_allocator(None)
    ran = 0
    for case in small_cases(op, 6, least_cost=50):
        for fill in case.fills:
            problem = map_arrays(case.problem(op, fill), np.copy)
            on_gpu = replace(problem, arguments=_on_gpu(cupy, problem.arguments))
            outputs = {}
            for out in problem.outputs:
                outputs[out.name] = cupy.empty(out.shape, out.dtype)
                if out.start is not None:
                    outputs[out.name][...] = cupy.asarray(out.start)
            keywords = {"algorithm": "auto"} if op in CHOOSES_ALGORITHM else {}
            call(native_cuda, on_gpu, outputs, **keywords)
            cupy.cuda.Device().synchronize()
            ran += 1
    return {"runs": ran, "ok": ran > 0}


def _on_gpu(cupy: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    def one(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return cupy.asarray(value)
        if hasattr(value, "residual"):
            bias, residual = one(value.bias), one(value.residual)
            return replace(value, bias=bias, residual=residual)
        return value

    return tuple(map(one, arguments))


def _distance(got: Any, expected: Any) -> float:
    """||got - expected|| / ||expected||, infinite where a NaN or an infinity is not shared."""
    wide, truth = got.astype(np.float64), expected.astype(np.float64)
    same = (wide == truth) | (np.isnan(wide) & np.isnan(truth))
    if not np.isfinite(wide[~same]).all() or not np.isfinite(truth[~same]).all():
        return float("inf")
    size = float(np.linalg.norm(truth[np.isfinite(truth)]))
    return float(np.linalg.norm(wide[~same] - truth[~same])) / (size or 1.0)
