"""Softmax, its logarithm and the cross-entropy, over the last axis."""

from __future__ import annotations

from typing import Any

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import module_of, wide


def softmax_forward(x: Array, y: Array) -> None:
    xp, values = module_of(x), wide(x)
    powers = xp.exp(values - values.max(axis=-1, keepdims=True))
    y[...] = powers / powers.sum(axis=-1, keepdims=True)


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    gradient, output = wide(dy), wide(y)
    dx[...] = output * (gradient - (gradient * output).sum(axis=-1, keepdims=True))


def log_softmax_forward(x: Array, y: Array) -> None:
    y[...] = _log_softmax(module_of(x), wide(x))


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    xp, gradient = module_of(dy), wide(dy)
    dx[...] = gradient - xp.exp(wide(y)) * gradient.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    losses: Array,
    dlogits: Array,
    *,
    label_smoothing: float,
    scale: float,
) -> None:
    xp, classes = module_of(logits), logits.shape[1]
    logarithm = _log_softmax(xp, wide(logits))
    spread, peak = label_smoothing / classes, 1.0 - label_smoothing
    is_label = xp.arange(classes) == labels[:, None]
    # A class without a target adds nothing, though its logarithm be minus infinity.
    total = 0
    if peak != 0:
        total = peak * xp.where(is_label, logarithm, 0).sum(axis=-1)
    if spread != 0:
        total = total + spread * logarithm.sum(axis=-1)
    losses[...] = -total
    probability = xp.exp(logarithm)
    dlogits[...] = scale * xp.where(is_label, probability - (peak + spread), probability - spread)


def _log_softmax(xp: Any, values: Array) -> Array:
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
