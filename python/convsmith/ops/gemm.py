"""The product of two matrices."""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check
from convsmith.ops.epilogue import NO_EPILOGUE, Epilogue
from convsmith.ops.shapes import GemmShape


def gemm(
    a: Array,
    b: Array,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    epilogue: Epilogue = NO_EPILOGUE,
) -> Array:
    """c = activation(alpha * op(a) @ op(b) + beta * out + bias + residual), c of [m, n].

    op(a) is [m, k] and op(b) [k, n], where op transposes if the flag is set: a itself is [m, k],
    or [k, m] with transpose_a; b is [k, n], or [n, k] with transpose_b. All are C-contiguous and
    of one float dtype; sums are accumulated in float32 at least. ``out`` is filled in place and
    returned when given; with beta = 0 it is never read, so a NaN in it does not spread.

    Raises ValueError for wrong shapes, a beta without out, an out that is read-only or overlaps
    an input; TypeError for a wrong dtype or array type. As BLAS xGEMM, but row-major.
    """
    op = "gemm"
    dtype = check.floats(op, "a", a)
    check.like(op, "b", b, "a", a)
    shape = GemmShape.infer(a.shape, b.shape, transpose_a=transpose_a, transpose_b=transpose_b)
    c_shape = shape.c_shape
    alpha = check.number(op, "alpha", alpha)
    beta = check.number(op, "beta", beta)
    check.epilogue(op, epilogue, shape.gemm_n, c_shape, "a", a)
    if out is not None:
        check.like(op, "out", out, "a", a, c_shape)
        check.writeable(op, "out", out)
        check.disjoint(op, "out", out, "a", a)
        check.disjoint(op, "out", out, "b", b)
        if epilogue.bias is not None:
            check.disjoint(op, "out", out, "bias", epilogue.bias)
        if epilogue.residual is not None:
            check.disjoint(op, "out", out, "residual", epilogue.residual)
    elif beta != 0:
        raise ValueError(
            f"gemm: beta: got {beta} without out, wanted 0, or an out for beta to multiply"
        )
    backend = select(op, (a,), dtype, shape)
    c = backend.empty(c_shape, dtype) if out is None else out
    backend.gemm(a, b, c, shape, epilogue, alpha=alpha, beta=beta)
    return c
