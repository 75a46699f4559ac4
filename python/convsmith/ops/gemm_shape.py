"""The geometry of a matrix product; made and checked as the shapes in ops/shapes.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from convsmith.arrays import Shape
from convsmith.ops.geometry import Pair, as_ints, check_elements, check_range


@dataclass(frozen=True, slots=True)
class GemmShape:
    """c [gemm_m, gemm_n] = op(a) [gemm_m, gemm_k] @ op(b) [gemm_k, gemm_n].

    Any of the three may be 0: an empty batch is gemm_m forward and gemm_k in the weights' gradient.
    """

    gemm_m: int
    gemm_n: int
    gemm_k: int
    transpose_a: bool
    transpose_b: bool

    @staticmethod
    def infer(
        a_shape: Sequence[int],
        b_shape: Sequence[int],
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        op: str = "gemm",
    ) -> GemmShape:
        """The shape of the product of two matrices, each transposed first if its flag is set."""
        return _gemm(
            as_ints(op, "a", a_shape),
            as_ints(op, "b", b_shape),
            bool(transpose_a),
            bool(transpose_b),
            op,
        )

    @property
    def c_shape(self) -> Pair:
        return (self.gemm_m, self.gemm_n)

    @property
    def macs(self) -> int:
        return self.gemm_m * self.gemm_n * self.gemm_k


@lru_cache(maxsize=4096)
def _gemm(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool, op: str) -> GemmShape:
    for name, shape in (("a", a), ("b", b)):
        if len(shape) != 2:
            raise ValueError(f"{op}: {name}: got shape {shape}, wanted a matrix of 2 dimensions")
        for size in shape:
            check_range(op, f"{name}: shape {shape}: dimension", size, 0)
        check_elements(op, name, shape)
    gemm_m, a_k = reversed(a) if transpose_a else a
    b_k, gemm_n = reversed(b) if transpose_b else b
    if a_k != b_k:
        raise ValueError(
            f"{op}: b: got shape {b}{' transposed' * transpose_b}, wanted {a_k} rows to match a "
            f"of shape {a}{' transposed' * transpose_a}, not {b_k}"
        )
    check_elements(op, "c", (gemm_m, gemm_n))
    return GemmShape(gemm_m, gemm_n, a_k, transpose_a, transpose_b)
