"""A matrix product in Python: c = op(a) @ op(b), row-major, op transposing where its flag is set.

Scaling, bias, residual and activation are applied outside. `convsmith check --kernel` on this
folder holds it against the truth.
"""

from convsmith.arrays import Array
from convsmith.ops.shapes import GemmShape
from convsmith.workbench import Kernel


def gemm(shape: GemmShape, a: Array, b: Array, c: Array) -> None:
    left = a.T if shape.transpose_a else a
    right = b.T if shape.transpose_b else b
    c[...] = left @ right


kernel = Kernel(op="gemm", source=gemm)
