"""A problem of the case list in 16-bit storage: what is rounded, and how far a result may be off.

The case list is stated in float32. In 16 bits its inputs are rounded first, so that the truth is
about the numbers that the kernel sees; sums stay float32, and a result is rounded once when stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convsmith.arrays import float_dtype
from convsmith.testing.problem import Bounds, NumpyArray, Out, Problem, map_arrays
from convsmith.testing.tolerance import stored

# Outputs that are float32 beside 16-bit arrays, as the ops promise (arrays.wide_dtype).
_WIDE = frozenset(("mean", "var", "dgamma", "dbeta", "losses"))
# Ops that only move numbers: exact on real numbers in any storage.
_COPIES = frozenset(("max_pool2d_forward", "upsample_nearest2d_forward"))


def _is_wide(problem: Problem, array: NumpyArray) -> bool:
    """Integers, and what BatchNorm keeps per channel."""
    return array.dtype.kind != "f" or (problem.op.startswith("batch_norm") and array.ndim == 1)


def rounded_to(problem: Problem, dtype: str) -> Problem:
    """The problem with its inputs rounded to what the type holds, still as float32.

    "tf32" cuts the mantissa to 10 bits: products of two such numbers are exact in float32.
    """
    if dtype == "float32":
        return problem

    def one(array: NumpyArray) -> NumpyArray:
        if _is_wide(problem, array):
            return array
        if dtype == "tf32":
            cut: NumpyArray = (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
            return cut
        return array.astype(float_dtype(dtype)).astype(np.float32)

    return map_arrays(problem, one)


def stored_as(problem: Problem, dtype: str) -> Problem:
    """The problem with its arrays, and its outputs, in this storage."""
    if dtype == "float32":
        return problem
    kind = float_dtype(dtype)

    def one(array: NumpyArray) -> NumpyArray:
        return array if _is_wide(problem, array) else array.astype(kind)

    def output(argument: Any) -> Any:
        if not isinstance(argument, Out) or argument.name in _WIDE:
            return argument
        return replace(argument, dtype=kind) if np.dtype(argument.dtype).kind == "f" else argument

    made = map_arrays(problem, one)
    return replace(made, arguments=tuple(map(output, made.arguments)))


def bounds(problem: Problem, expected: Mapping[str, NumpyArray], dtype: str, fill: str) -> Bounds:
    """The largest allowed |error| of each output once it is stored.

    Sums of integers are exact in float32, so they are rounded once: a bound of 0 stays 0.
    """
    exact = fill == "integer" or problem.op in _COPIES
    wide = problem.bounds(expected)
    if dtype == "float32":
        return wide
    narrow = {out.name for out in problem.outputs if np.dtype(out.dtype).kind == "f"} - _WIDE
    return {
        name: bound
        if name not in narrow or (exact and np.ndim(bound) == 0 and bound == 0)
        else stored(bound, expected[name], dtype)
        for name, bound in wide.items()
    }
