"""Parameter updates, in place.

Sources: SGD with (Nesterov) momentum as torch.optim.SGD with dampening 0; Adam: Kingma and Ba
2014 (arXiv:1412.6980); decoupled weight decay: Loshchilov and Hutter 2017 (arXiv:1711.05101).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
    """g = grad + weight_decay*param; v = momentum*v + g; param -= lr*(g + momentum*v or v).

    Without a velocity the step is lr * g.
    """
    value = param.astype(np.float64)
    step = grad + weight_decay * value
    if velocity is not None:
        moved = momentum * velocity.astype(np.float64) + step
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
    """One Adam step (AdamW with `decoupled`); `step` counts from 1."""
    value = param.astype(np.float64)
    gradient = grad.astype(np.float64)
    if decoupled:
        value = value * (1.0 - lr * weight_decay)
    else:
        gradient = gradient + weight_decay * value
    first = beta1 * exp_avg.astype(np.float64) + (1.0 - beta1) * gradient
    second = beta2 * exp_avg_sq.astype(np.float64) + (1.0 - beta2) * gradient * gradient
    exp_avg[...] = first
    exp_avg_sq[...] = second
    first = first / (1.0 - beta1**step)
    denominator = np.sqrt(second) / math.sqrt(1.0 - beta2**step) + eps
    param[...] = value - lr * first / denominator
