"""Matrix product with scaling and an epilogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convsmith.backends.reference.epilogue import finish

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue
    from convsmith.ops.shapes import GemmShape

Array = npt.NDArray[Any]


def gemm(
    a: Array,
    b: Array,
    c: Array,
    shape: GemmShape,
    epilogue: Epilogue,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """c = activation(alpha * op(a) @ op(b) + beta * c + bias + residual).

    op(a) is [gemm_m, gemm_k], op(b) [gemm_k, gemm_n]. With beta = 0, `c` is never read: it may
    hold NaN (the rule of the BLAS).
    """
    left = a.astype(np.float64)
    right = b.astype(np.float64)
    if shape.transpose_a:
        left = left.T
    if shape.transpose_b:
        right = right.T
    total = alpha * (left @ right)
    if beta != 0:
        total = total + beta * c.astype(np.float64)
    c[...] = finish(total, epilogue)
