"""Batch normalisation and local response normalisation.

Sources: Ioffe and Szegedy 2015 (arXiv:1502.03167); Krizhevsky et al. 2012, section 3.3, in the
form of torch.nn.LocalResponseNorm (alpha divided by size).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _rows(values: Array) -> Float64:
    """[..., C] -> [rows, C] in float64."""
    return values.astype(np.float64).reshape(-1, values.shape[-1])


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    """Training: mean and biased variance over everything but the channels, in two passes."""
    values = _rows(x)
    centre = values.mean(axis=0)
    spread = ((values - centre) ** 2).mean(axis=0)
    mean[...] = centre
    var[...] = spread
    normalised = (values - centre) / np.sqrt(spread + eps)
    y[...] = (normalised * gamma + beta).reshape(y.shape)


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
    """Gradients through the batch statistics as well (mean and var are functions of x)."""
    gradient = _rows(dy)
    scale = 1.0 / np.sqrt(var.astype(np.float64) + eps)
    normalised = (_rows(x) - mean) * scale
    sum_gradient = gradient.sum(axis=0)
    sum_product = (gradient * normalised).sum(axis=0)
    count = max(len(gradient), 1)
    centred = gradient - sum_gradient / count - normalised * (sum_product / count)
    dx[...] = (centred * (gamma * scale)).reshape(dx.shape)
    dgamma[...] = sum_product
    dbeta[...] = sum_gradient


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, with given statistics."""
    scale = 1.0 / np.sqrt(var.astype(np.float64) + eps)
    y[...] = ((_rows(x) - mean) * scale * gamma + beta).reshape(y.shape)


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
    """Gradients with mean and var held constant."""
    gradient = _rows(dy)
    scale = 1.0 / np.sqrt(var.astype(np.float64) + eps)
    dx[...] = (gradient * scale * gamma).reshape(dx.shape)
    dgamma[...] = (gradient * (_rows(x) - mean) * scale).sum(axis=0)
    dbeta[...] = gradient.sum(axis=0)


def _window(channel: int, channels: int, size: int) -> slice:
    """The channels whose squares enter the denominator of `channel`."""
    return slice(max(channel - size // 2, 0), min(channel + (size - 1) // 2 + 1, channels))


def _denominator(values: Float64, size: int, alpha: float, k: float) -> Float64:
    channels = values.shape[-1]
    base = np.empty_like(values)
    for c in range(channels):
        squares = values[..., _window(c, channels, size)] ** 2
        base[..., c] = k + alpha / size * squares.sum(axis=-1)
    return base


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    """y = x / (k + alpha/size * sum of x^2 over `size` neighbouring channels) ** beta."""
    values = x.astype(np.float64)
    y[...] = values / _denominator(values, size, alpha, k) ** beta


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    """dx: the direct term, and one term through every denominator that holds the channel."""
    values = x.astype(np.float64)
    gradient = dy.astype(np.float64)
    base = _denominator(values, size, alpha, k)
    total = gradient * base**-beta
    through = gradient * values * base ** (-beta - 1.0) * (-2.0 * alpha * beta / size)
    channels = values.shape[-1]
    for c in range(channels):
        window = _window(c, channels, size)
        total[..., window] += through[..., c : c + 1] * values[..., window]
    dx[...] = total
