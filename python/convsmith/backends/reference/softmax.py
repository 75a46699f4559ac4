"""Softmax, its logarithm, and the cross-entropy of the two, over the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _log_softmax(x: Array) -> Float64:
    values = x.astype(np.float64)
    # The row's own maximum, never a start value such as 0: rows of large negative numbers are
    # legal. A row of nothing but -inf gives NaN, as in PyTorch.
    with np.errstate(invalid="ignore"):
        shifted = values - values.max(axis=-1, keepdims=True)
    log_sum: Float64 = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    result: Float64 = shifted - log_sum
    return result


def softmax_forward(x: Array, y: Array) -> None:
    """y = exp(x) / sum(exp(x))."""
    values = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
    y[...] = powers / powers.sum(axis=-1, keepdims=True)


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    """dx = y * (dy - sum(dy * y)), from the output y of the forward."""
    gradient, output = dy.astype(np.float64), y.astype(np.float64)
    dx[...] = output * (gradient - (gradient * output).sum(axis=-1, keepdims=True))


def log_softmax_forward(x: Array, y: Array) -> None:
    """y = x - log(sum(exp(x)))."""
    y[...] = _log_softmax(x)


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    """dx = dy - exp(y) * sum(dy), from the output y of the forward."""
    gradient = dy.astype(np.float64)
    total = gradient.sum(axis=-1, keepdims=True)
    dx[...] = gradient - np.exp(y.astype(np.float64)) * total


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    losses: Array,
    dlogits: Array,
    *,
    label_smoothing: float = 0.0,
    scale: float = 1.0,
) -> None:
    """losses[r] = -sum(target * log_softmax(logits[r])); dlogits = scale * d(losses.sum()).

    target = (1 - label_smoothing) at the label plus label_smoothing / classes everywhere.
    """
    rows, classes = logits.shape
    log_probability = _log_softmax(logits)
    target = np.full((rows, classes), label_smoothing / classes)
    target[np.arange(rows), labels] += 1.0 - label_smoothing
    # 0 * -inf is no loss: a class with no target and no probability contributes nothing.
    terms = np.where(target == 0, 0.0, target) * np.where(target == 0, 0.0, log_probability)
    losses[...] = -terms.sum(axis=-1)
    dlogits[...] = scale * (np.exp(log_probability) - target)
