"""Batch normalisation over all but the last axis, and local response normalisation over it.

Arrays are C-contiguous and of one float dtype; only what is kept per channel (gamma, beta, mean,
var and the gradients dgamma, dbeta) is float32 where x is float16 or bfloat16. All raise ValueError
for a wrong shape, value or memory layout, TypeError for a wrong dtype or array type, before any
work.
"""

from __future__ import annotations

from typing import Any

from convsmith.arrays import Array, wide_dtype
from convsmith.backends.table import select
from convsmith.ops import check


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, *, eps: float
) -> tuple[Array, Array, Array]:
    """Training: y = gamma * (x - mean) / sqrt(var + eps) + beta with x's own statistics.

    x is [..., C] with at least one row, gamma and beta are [C]. Returns (y, mean, var), the
    statistics of [C] per channel; var is the biased variance, from a second pass over x.
    Source: Ioffe and Szegedy, arXiv:1502.03167.
    """
    op = "batch_norm_forward"
    dtype, channels = _check_rows(op, "x", x, statistics=True)
    _check_per_channel(op, "x", x, gamma=gamma, beta=beta)
    eps = check.number(op, "eps", eps, least=0)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    mean = backend.empty((channels,), wide_dtype(dtype))
    var = backend.empty((channels,), wide_dtype(dtype))
    backend.batch_norm_forward(x, gamma, beta, y, mean, var, eps=eps)
    return y, mean, var


def batch_norm_backward(
    dy: Array, x: Array, gamma: Array, mean: Array, var: Array, *, eps: float
) -> tuple[Array, Array, Array]:
    """(dx, dgamma, dbeta) of batch_norm_forward, whose mean and var depend on x."""
    op = "batch_norm_backward"
    return _backward(op, dy, x, gamma, mean, var, eps, statistics=True)


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, eps: float
) -> Array:
    """y = gamma * (x - mean) / sqrt(var + eps) + beta with given statistics, all of [C]."""
    op = "batch_norm_inference_forward"
    dtype, _ = _check_rows(op, "x", x)
    _check_per_channel(op, "x", x, gamma=gamma, beta=beta, mean=mean, var=var)
    eps = check.number(op, "eps", eps, least=0)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    backend.batch_norm_inference_forward(x, gamma, beta, mean, var, y, eps=eps)
    return y


def batch_norm_inference_backward(
    dy: Array, x: Array, gamma: Array, mean: Array, var: Array, *, eps: float
) -> tuple[Array, Array, Array]:
    """(dx, dgamma, dbeta) of batch_norm_inference_forward, whose mean and var are constants."""
    op = "batch_norm_inference_backward"
    return _backward(op, dy, x, gamma, mean, var, eps, statistics=False)


def local_response_norm_forward(
    x: Array, *, size: int, alpha: float, beta: float, k: float
) -> Array:
    """y = x / (k + alpha / size * s)^beta, s the sum of squares over neighbouring channels.

    x is [..., C]; the neighbours of channel c are c - size // 2 to c + (size - 1) // 2, those that
    exist. As torch.nn.LocalResponseNorm. Source: Krizhevsky et al., NIPS 2012, section 3.3.
    """
    op = "local_response_norm_forward"
    dtype, _ = _check_rows(op, "x", x, least_rank=1)
    size, alpha, beta, k = _check_local(op, size, alpha, beta, k)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    backend.local_response_norm_forward(x, y, size=size, alpha=alpha, beta=beta, k=k)
    return y


def local_response_norm_backward(
    dy: Array, x: Array, *, size: int, alpha: float, beta: float, k: float
) -> Array:
    """dx of local_response_norm_forward."""
    op = "local_response_norm_backward"
    dtype, _ = _check_rows(op, "dy", dy, least_rank=1)
    check.like(op, "x", x, "dy", dy, dy.shape)
    size, alpha, beta, k = _check_local(op, size, alpha, beta, k)
    backend = select(op, (dy,), dtype)
    dx = backend.empty(x.shape, dtype)
    backend.local_response_norm_backward(dy, x, dx, size=size, alpha=alpha, beta=beta, k=k)
    return dx


def _backward(
    op: str,
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    *,
    statistics: bool,
) -> tuple[Array, Array, Array]:
    dtype, channels = _check_rows(op, "dy", dy, statistics=statistics)
    check.like(op, "x", x, "dy", dy, dy.shape)
    _check_per_channel(op, "dy", dy, gamma=gamma, mean=mean, var=var)
    eps = check.number(op, "eps", eps, least=0)
    backend = select(op, (dy,), dtype)
    dx = backend.empty(x.shape, dtype)
    dgamma = backend.empty((channels,), wide_dtype(dtype))
    dbeta = backend.empty((channels,), wide_dtype(dtype))
    fill = backend.batch_norm_backward if statistics else backend.batch_norm_inference_backward
    fill(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps=eps)
    return dx, dgamma, dbeta


def _check_rows(
    op: str, name: str, value: Array, *, statistics: bool = False, least_rank: int = 2
) -> tuple[Any, int]:
    dtype = check.floats(op, name, value)
    channels = check.channels_last(op, name, value, least_rank)
    if statistics and value.size == 0:
        # The mean of nothing is NaN, and would poison the running statistics for good.
        raise check.bad_shape(op, name, value.shape, "at least one row to take statistics of")
    return dtype, channels


def _check_per_channel(op: str, first_name: str, first: Array, **arrays: Array) -> None:
    dtype, shape = wide_dtype(first.dtype), first.shape[-1:]
    for name, array in arrays.items():
        check.beside(op, name, array, dtype, first_name, first, shape)


def _check_local(
    op: str, size: int, alpha: float, beta: float, k: float
) -> tuple[int, float, float, float]:
    return (
        check.integer(op, "size", size, least=1),
        check.number(op, "alpha", alpha),
        check.number(op, "beta", beta),
        check.number(op, "k", k),
    )
