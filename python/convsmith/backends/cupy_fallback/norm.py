"""Batch normalisation in two passes over x, and local response normalisation.

Sources: Ioffe and Szegedy 2015 (arXiv:1502.03167); Krizhevsky et al. 2012, section 3.3, in the
form of torch.nn.LocalResponseNorm.
"""

from __future__ import annotations

from typing import Any

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import add_to, module_of, wide


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    xp, values = module_of(x), _rows(x)
    centre = values.mean(axis=0)
    centred = values - centre
    spread = (centred * centred).mean(axis=0)
    mean[...] = centre
    var[...] = spread
    normalised = centred / xp.sqrt(spread + eps)
    y[...] = (normalised * wide(gamma) + wide(beta)).reshape(y.shape)


def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    xp, gradient = module_of(dy), _rows(dy)
    scale = 1 / xp.sqrt(wide(var) + eps)
    normalised = (_rows(x) - wide(mean)) * scale
    sum_gradient = gradient.sum(axis=0)
    sum_product = (gradient * normalised).sum(axis=0)
    count = len(gradient)
    centred = gradient - sum_gradient / count - normalised * (sum_product / count)
    dx[...] = (centred * (wide(gamma) * scale)).reshape(dx.shape)
    dgamma[...] = sum_product
    dbeta[...] = sum_gradient


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    scale = wide(gamma) / module_of(x).sqrt(wide(var) + eps)
    y[...] = ((_rows(x) - wide(mean)) * scale + wide(beta)).reshape(y.shape)


def batch_norm_inference_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    gradient = _rows(dy)
    scale = 1 / module_of(dy).sqrt(wide(var) + eps)
    dx[...] = (gradient * (wide(gamma) * scale)).reshape(dx.shape)
    dgamma[...] = (gradient * ((_rows(x) - wide(mean)) * scale)).sum(axis=0)
    dbeta[...] = gradient.sum(axis=0)


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    values = wide(x)
    y[...] = values * _base(module_of(x), values, size, alpha, k) ** -beta


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    xp, values, gradient = module_of(dy), wide(x), wide(dy)
    base = _base(xp, values, size, alpha, k)
    direct = gradient * base**-beta
    # Channel c lies in the windows of c - (size - 1) // 2 to c + size // 2: those of its own
    # window, mirrored.
    through = _neighbours(xp, direct * values / base, (size - 1) // 2, size // 2)
    dx[...] = direct - (2 * alpha * beta / size) * values * through


def _rows(values: Array) -> Array:
    return wide(values).reshape((-1, values.shape[-1]))


def _base(xp: Any, values: Array, size: int, alpha: float, k: float) -> Array:
    squares = _neighbours(xp, values * values, size // 2, (size - 1) // 2)
    return k + (alpha / size) * squares


def _neighbours(xp: Any, values: Array, before: int, after: int) -> Array:
    """For each channel the sum over c - before to c + after, those that exist."""
    channels = values.shape[-1]
    total = xp.zeros_like(values)
    for offset in range(-min(before, channels - 1), min(after, channels - 1) + 1):
        first, end = max(-offset, 0), min(channels - offset, channels)
        add_to(total[..., first:end], values[..., first + offset : end + offset])
    return total
