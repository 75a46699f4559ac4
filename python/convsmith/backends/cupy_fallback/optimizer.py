"""Parameter updates in place: SGD as torch.optim.SGD with dampening 0; Adam (arXiv:1412.6980),
AdamW (arXiv:1711.05101)."""

from __future__ import annotations

import math

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import module_of, wide


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    value = wide(param)
    step = wide(grad) + weight_decay * value
    if velocity is not None:
        moved = momentum * wide(velocity) + step
        velocity[...] = moved
        step = step + momentum * moved if nesterov else moved
    param[...] = value - lr * step


def adam_update(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    xp, value, gradient = module_of(param), wide(param), wide(grad)
    if decoupled:
        value = value * (1 - lr * weight_decay)
    else:
        gradient = gradient + weight_decay * value
    first = beta1 * wide(exp_avg) + (1 - beta1) * gradient
    second = beta2 * wide(exp_avg_sq) + (1 - beta2) * (gradient * gradient)
    exp_avg[...] = first
    exp_avg_sq[...] = second
    denominator = xp.sqrt(second) / math.sqrt(1 - beta2**step) + eps
    param[...] = value - (lr / (1 - beta1**step)) * first / denominator
