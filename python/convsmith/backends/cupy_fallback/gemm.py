"""The matrix product: cuBLAS through CuPy, and the epilogue after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import module_of, wide
from convsmith.backends.cupy_fallback.pointwise import finish

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import GemmShape


def gemm(
    a: Array, b: Array, c: Array, shape: GemmShape, epilogue: Epilogue, *, alpha: float, beta: float
) -> None:
    left, right = wide(a), wide(b)
    left = left.T if shape.transpose_a else left
    right = right.T if shape.transpose_b else right
    total = left @ right
    if alpha != 1:
        total = total * alpha
    if beta != 0:  # else c may hold NaN
        total = total + wide(c) * beta
    c[...] = finish(module_of(a), total, epilogue)
