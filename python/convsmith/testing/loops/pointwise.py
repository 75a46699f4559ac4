"""One number in, one number out: activations, addition, optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0


def activate(x: float, kind: str, slope: float) -> float:
    """The activation of one number."""
    if math.isnan(x):
        return x
    table: dict[str, Callable[[], float]] = {
        "identity": lambda: x,
        "relu": lambda: x if x > 0 else 0.0,
        "leaky_relu": lambda: x if x > 0 else slope * x,
        "sigmoid": lambda: _sigmoid(x),
        "tanh": lambda: math.tanh(x),
        "silu": lambda: x * _sigmoid(x),
        "hardswish": lambda: x * min(max(x + 3.0, 0.0), 6.0) / 6.0,
    }
    return table[kind]()


def _slope_at(saved: float, kind: str, slope: float) -> float:
    """The derivative, from the output (identity to tanh) or the input (silu, hardswish)."""
    if kind == "identity":
        return 1.0
    if kind == "relu":
        return 1.0 if saved > 0 else 0.0
    if kind == "leaky_relu":
        return 1.0 if saved > 0 else slope
    if kind == "sigmoid":
        return saved * (1.0 - saved)
    if kind == "tanh":
        return 1.0 - saved**2
    if kind == "silu":
        gate = _sigmoid(saved)
        return gate + saved * gate * (1.0 - gate)
    if saved <= -3.0:
        return 0.0
    return (2.0 * saved + 3.0) / 6.0 if saved < 3.0 else 1.0


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float) -> None:
    for index in np.ndindex(x.shape):
        y[index] = activate(float(x[index]), kind, negative_slope)


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float
) -> None:
    for index in np.ndindex(dy.shape):
        dx[index] = float(dy[index]) * _slope_at(float(saved[index]), kind, negative_slope)


def add(a: Array, b: Array, y: Array) -> None:
    for index in np.ndindex(a.shape):
        y[index] = float(a[index]) + float(b[index])


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
    for index in np.ndindex(param.shape):
        value = float(param[index])
        gradient = float(grad[index]) + weight_decay * value
        if velocity is not None:
            speed = momentum * float(velocity[index]) + gradient
            velocity[index] = speed
            gradient = gradient + momentum * speed if nesterov else speed
        param[index] = value - lr * gradient


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
    for index in np.ndindex(param.shape):
        value, gradient = float(param[index]), float(grad[index])
        if decoupled:
            value -= lr * weight_decay * value
        else:
            gradient += weight_decay * value
        mean = beta1 * float(exp_avg[index]) + (1 - beta1) * gradient
        square = beta2 * float(exp_avg_sq[index]) + (1 - beta2) * gradient**2
        exp_avg[index], exp_avg_sq[index] = mean, square
        corrected = math.sqrt(square / (1 - beta2**step))
        param[index] = value - lr * (mean / (1 - beta1**step)) / (corrected + eps)
