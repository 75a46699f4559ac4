"""Elementwise ops: the activations, their derivatives, and the sum of two arrays.

Where a derivative does not exist the value taken is PyTorch's: 0 at relu's kink,
`negative_slope` at leaky_relu's, and for hardswish 0 at -3 and 1 at 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]


def _sigmoid(x: Float64) -> Float64:
    # exp of a non-positive number only: never overflows, and small values keep their digits.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def apply(x: Float64, kind: str, negative_slope: float) -> Float64:
    """The activation `kind` of a float64 array; ValueError for an unknown kind."""
    if kind == "identity":
        return x
    if kind == "relu":
        return np.maximum(x, 0.0)  # np.maximum keeps NaN
    if kind == "leaky_relu":
        return np.where(x > 0, x, x * negative_slope)
    if kind == "sigmoid":
        return _sigmoid(x)
    if kind == "tanh":
        return np.tanh(x)
    if kind == "silu":
        return x * _sigmoid(x)
    if kind == "hardswish":
        return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0
    raise ValueError(f"activation: kind={kind!r} is not an activation of the reference backend")


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float = 0.01) -> None:
    """y = kind(x)."""
    y[...] = apply(x.astype(np.float64), kind, negative_slope)


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float = 0.01
) -> None:
    """dx = dy * kind'(x), from y (identity, relu, leaky_relu, sigmoid, tanh) or x (the others)."""
    gradient = dy.astype(np.float64)
    value = saved.astype(np.float64)
    if kind == "identity":
        result = gradient
    elif kind == "relu":
        result = np.where(value <= 0, 0.0, gradient)  # written so that a NaN output passes dy on
    elif kind == "leaky_relu":
        result = np.where(value > 0, gradient, gradient * negative_slope)
    elif kind == "sigmoid":
        result = gradient * value * (1.0 - value)
    elif kind == "tanh":
        result = gradient * (1.0 - value * value)
    elif kind == "silu":
        gate = _sigmoid(value)
        result = gradient * gate * (1.0 + value * (1.0 - gate))
    elif kind == "hardswish":
        slope = np.where(value <= -3, 0.0, np.where(value < 3, value / 3.0 + 0.5, 1.0))
        result = gradient * slope
    else:
        raise ValueError(
            f"activation_backward: kind={kind!r} is not an activation of the reference backend"
        )
    dx[...] = result


def add(a: Array, b: Array, y: Array) -> None:
    """y = a + b, equal shapes."""
    y[...] = a.astype(np.float64) + b.astype(np.float64)
