"""The op suite on the device: against float64, against the simt executor, against itself."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np

from convsmith.backends import native_cuda, reference
from convsmith.ops.epilogue import NO_EPILOGUE
from convsmith.ops.shapes import Conv2dShape, GemmShape
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_check
from convsmith.testing.on_device import on_numpy
from convsmith.testing.problem import Case, Problem, call, map_arrays

CHOOSES_ALGORITHM = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
# Norm-wise: the rounding of the result alone is 1.1e-3 of it in bfloat16, 1.4e-4 in float16.
SIXTEEN_BIT_LIMITS = {"bfloat16": 3e-3, "float16": 5e-4}


def check_op(op: str) -> dict[str, Any]:
    """The whole case list in float32 against the float64 reference, between guard bands."""
    results = run_check([op], [on_numpy(native_cuda)])
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


def check_sixteen_bit(item: str) -> dict[str, Any]:
    """Convolutions and products in 16-bit storage against float64 on the same rounded inputs."""
    op, _, dtype_name = item.partition(" ")
    cupy = importlib.import_module("cupy")
    dtype = sixteen_bit_type(dtype_name)
    worst = 0.0
    rng = np.random.default_rng(0)
    for arrays, y_shape, shape in _sixteen_bit_problems(op, rng):
        inputs = [cupy.asarray(a.astype(dtype)) for a in arrays]
        wide = [a.astype(dtype).astype(np.float64) for a in arrays]
        got, expected = cupy.empty(y_shape, dtype), np.empty(y_shape)
        if op == "gemm":
            native_cuda.gemm(inputs[0], inputs[1], got, shape, NO_EPILOGUE, alpha=1.0, beta=0.0)
            reference.gemm(wide[0], wide[1], expected, shape, NO_EPILOGUE, alpha=1.0, beta=0.0)
        else:
            extra = (shape, NO_EPILOGUE) if op == "conv2d_forward" else (shape,)
            getattr(native_cuda, op)(*inputs, got, *extra, algorithm="auto")
            getattr(reference, op)(*wide, expected, *extra, algorithm="auto")
        worst = max(worst, _distance(cupy.asnumpy(got).astype(np.float64), expected))
    limit = SIXTEEN_BIT_LIMITS[dtype_name]
    error = "" if worst <= limit else f"off by {worst:.1e} of the norm, wanted {limit:.0e}"
    return {"ok": worst <= limit, "distance": worst, "limit": limit, "error": error}


def sixteen_bit_type(name: str) -> Any:
    return getattr(importlib.import_module("ml_dtypes" if name == "bfloat16" else "numpy"), name)


def _sixteen_bit_problems(op: str, rng: np.random.Generator) -> list[tuple[Any, Any, Any]]:
    def draw(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    if op == "gemm":
        sizes = ((64, 64, 64), (130, 70, 33), (257, 128, 200))
        return [
            ((draw(m, k), draw(k, n)), (m, n), GemmShape.infer((m, k), (k, n))) for m, n, k in sizes
        ]
    found = []
    for x, weight, stride, groups in (
        ((2, 14, 14, 64), (64, 3, 3, 64), 1, 1),
        ((2, 15, 13, 32), (48, 3, 3, 32), 2, 1),
        ((2, 9, 9, 24), (36, 3, 3, 6), 1, 4),
        ((1, 17, 17, 3), (16, 7, 7, 3), 2, 1),
    ):
        shape = Conv2dShape.infer(x, weight, stride=stride, padding=1, groups=groups)
        shapes = {"x": shape.x_shape, "weight": shape.weight_shape, "y": shape.y_shape}
        first, second, result = {
            "conv2d_forward": ("x", "weight", "y"),
            "conv2d_backward_input": ("y", "weight", "x"),
            "conv2d_backward_weight": ("x", "y", "weight"),
        }[op]
        found.append(((draw(*shapes[first]), draw(*shapes[second])), shapes[result], shape))
    return found


def _distance(got: Any, expected: Any) -> float:
    """||got - expected|| / ||expected||, infinite where a NaN or an infinity is not shared."""
    wide, truth = got.astype(np.float64), expected.astype(np.float64)
    same = (wide == truth) | (np.isnan(wide) & np.isnan(truth))
    if not np.isfinite(wide[~same]).all() or not np.isfinite(truth[~same]).all():
        return float("inf")
    size = float(np.linalg.norm(truth[np.isfinite(truth)]))
    return float(np.linalg.norm(wide[~same] - truth[~same])) / (size or 1.0)
