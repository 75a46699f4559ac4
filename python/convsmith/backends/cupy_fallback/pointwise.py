"""Activations, their derivatives, sums, and what follows a matrix product.

Derivatives at a kink are PyTorch's: 0 for relu, the slope for leaky_relu, and for hardswish 0 at
-3 and 1 at 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array
from convsmith.backends.cupy_fallback.arrays import module_of, wide

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue


def apply(xp: Any, x: Array, kind: str, negative_slope: float) -> Array:
    """kind(x), x being of a compute type."""
    if kind == "relu":
        return xp.maximum(x, 0)  # keeps NaN
    if kind == "leaky_relu":
        return xp.where(x > 0, x, x * negative_slope)
    if kind == "sigmoid":
        return _sigmoid(xp, x)
    if kind == "tanh":
        return xp.tanh(x)
    if kind == "silu":
        return x * _sigmoid(xp, x)
    if kind == "hardswish":
        return x * xp.clip(x + 3, 0, 6) / 6
    return x


def finish(xp: Any, total: Array, epilogue: Epilogue) -> Array:
    """activation(total + bias + residual)."""
    if epilogue.bias is not None:
        total = total + wide(epilogue.bias)
    if epilogue.residual is not None:
        total = total + wide(epilogue.residual)
    return apply(xp, total, epilogue.activation, epilogue.negative_slope)


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float) -> None:
    y[...] = apply(module_of(x), wide(x), kind, negative_slope)


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float
) -> None:
    xp, dy, value = module_of(dy), wide(dy), wide(saved)
    if kind == "relu":
        result = xp.where(value <= 0, 0, dy)  # written so that a NaN output passes dy on
    elif kind == "leaky_relu":
        result = xp.where(value > 0, dy, dy * negative_slope)
    elif kind == "sigmoid":
        result = dy * value * (1 - value)
    elif kind == "tanh":
        result = dy * (1 - value * value)
    elif kind == "silu":
        gate = _sigmoid(xp, value)
        result = dy * gate * (1 + value * (1 - gate))
    elif kind == "hardswish":
        result = xp.where(value <= -3, 0, xp.where(value < 3, dy * (value / 3 + 0.5), dy))
    else:
        result = dy
    dx[...] = result


def add(a: Array, b: Array, y: Array) -> None:
    y[...] = wide(a) + wide(b)


def _sigmoid(xp: Any, x: Array) -> Array:
    # exp of a number that is not positive never overflows.
    small = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + small), small / (1 + small))
