"""Running one problem of the case list on the simt backend, at a chosen alignment and storage."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from convsmith.backends import reference
from convsmith.testing.problem import NumpyArray, Out, Problem, call, evaluate, map_arrays
from convsmith.testing.tolerance import compare, stored

DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
# float32 whatever the storage: statistics, parameters of a norm, losses, optimizer state.
ALWAYS_FLOAT32 = frozenset(
    ("mean", "var", "dgamma", "dbeta", "losses", "velocity", "exp_avg", "exp_avg_sq")
)


def placed(values: NumpyArray, shift: int) -> NumpyArray:
    """A copy that begins `shift` elements after a 16-byte border."""
    raw = np.zeros(values.nbytes + 64 + shift * values.itemsize, np.uint8)
    start = -raw.ctypes.data % 16 + shift * values.itemsize
    array = raw[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


def is_per_channel(problem: Problem, array: NumpyArray) -> bool:
    return problem.op.startswith("batch_norm") and array.ndim == 1


def rounded_to(problem: Problem, dtype: np.dtype[Any]) -> Problem:
    """The problem with its inputs rounded to what the storage holds, still as float32."""

    def one(array: NumpyArray) -> NumpyArray:
        if array.dtype.kind != "f" or is_per_channel(problem, array):
            return array
        return array.astype(dtype).astype(np.float32)

    starts = {
        out.name: out.start
        for out in problem.outputs
        if out.start is not None and out.name in ALWAYS_FLOAT32
    }
    made = map_arrays(problem, one)
    arguments = tuple(
        replace(a, start=starts[a.name]) if isinstance(a, Out) and a.name in starts else a
        for a in made.arguments
    )
    return replace(made, arguments=arguments)


def execute(
    backend: Any, problem: Problem, storage: str = "float32", shift: int = 0
) -> dict[str, NumpyArray]:
    """The outputs; inputs of the storage's type, everything `shift` elements off 16 bytes."""
    dtype = DTYPES[storage]

    def one(array: NumpyArray) -> NumpyArray:
        keeps = array.dtype.kind != "f" or is_per_channel(problem, array)
        return placed(array if keeps else array.astype(dtype), shift)

    outputs = {}
    for out in problem.outputs:
        kind = np.dtype(out.dtype)
        if kind.kind == "f" and out.name not in ALWAYS_FLOAT32:
            kind = dtype
        start = np.zeros(out.shape, kind)
        start.reshape(-1).view(np.uint8)[...] = 0xFF
        if out.start is not None:
            start = out.start.astype(kind)
        outputs[out.name] = placed(start, shift)
    call(backend, map_arrays(problem, one), outputs)
    return outputs


def complaint(
    backend: Any, problem: Problem, storage: str = "float32", shift: int = 0
) -> str | None:
    """What is wrong with the result, None if nothing is."""
    given = problem if storage == "float32" else rounded_to(problem, DTYPES[storage])
    return verdict(given, execute(backend, given, storage, shift), storage)


def verdict(given: Problem, outputs: dict[str, NumpyArray], storage: str) -> str | None:
    """What is wrong with the outputs of a problem whose inputs the storage holds exactly."""
    expected = evaluate(reference, given)
    bounds = given.bounds(expected)
    for name, got in outputs.items():
        bound = bounds[name]
        exact = np.ndim(bound) == 0 and bound == 0 and not is_sum(given.op)
        if storage != "float32" and got.dtype == DTYPES[storage] and not exact:
            bound = stored(bound, expected[name], storage)
        found = compare(got, expected[name], bound)
        if not found.ok:
            share = "inf" if math.isinf(found.share) else f"{found.share:.3g}"
            return f"{name} {found.message}, {share} of its tolerance"
    return None


def is_sum(op: str) -> bool:
    """Ops that are exact in float32 on integers, but not once a sum is stored in 16 bits."""
    return op == "add" or op.endswith("backward_input") or op.startswith("activation")
