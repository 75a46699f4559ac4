"""Initial values, drawn from the one global generator (convsmith.seed).

Every function fills a parameter (or array) in place and returns it. Weights are
[out, kernel_h, kernel_w, in / groups] or [out, in]; what they feed from is fan_in, the product of
all dimensions but the first, and fan_out is the first times the kernel's positions. Those are
PyTorch's numbers for the same weight, transposed convolutions included.

Sources: Glorot & Bengio 2010 (xavier); He et al. 2015, arXiv:1502.01852 (kaiming).
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from convsmith import random
from convsmith.arrays import Array, Shape
from convsmith.nn.layer import Parameter

P = TypeVar("P", bound=Any)  # a Parameter, or an array

_GAINS = {
    "linear": 1.0,
    "identity": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "silu": math.sqrt(2.0),
    "hardswish": math.sqrt(2.0),
}


def gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """The factor that keeps the variance through an activation, as torch.nn.init.

    silu and hardswish, which PyTorch does not list, are treated as relu.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + negative_slope**2))
    if nonlinearity not in _GAINS:
        names = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"init: nonlinearity: got {nonlinearity!r}, wanted one of {names}")
    return _GAINS[nonlinearity]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [out, ..., in]."""
    if len(shape) < 2:
        raise ValueError(f"init: got shape {shape}, wanted a weight of 2 or more dimensions")
    taps = math.prod(shape[1:-1])
    return taps * shape[-1], taps * shape[0]


def constant(parameter: P, value: float) -> P:
    _array(parameter)[...] = value
    return parameter


def uniform(parameter: P, low: float, high: float) -> P:
    array = _array(parameter)
    values = random.generator().random(array.shape, dtype=_draw_dtype(array))
    values *= high - low
    values += low
    array[...] = values
    return parameter


def normal(parameter: P, mean: float = 0.0, std: float = 1.0) -> P:
    array = _array(parameter)
    if not (math.isfinite(mean) and 0 <= std < math.inf):
        raise ValueError(f"init: normal: got mean={mean}, std={std}, wanted finite and std >= 0")
    values = random.generator().standard_normal(array.shape, dtype=_draw_dtype(array))
    values *= std
    values += mean
    array[...] = values
    return parameter


def trunc_normal(
    parameter: P, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> P:
    """A normal distribution cut to [low, high], by drawing again what falls outside."""
    array = _array(parameter)
    # Each value takes 1 / share draws; far in a tail, or between close bounds, that is forever.
    share = 0.0
    if math.isfinite(mean) and 0 < std < math.inf and low < high:
        root = math.sqrt(2.0) * std
        share = (math.erf((high - mean) / root) - math.erf((low - mean) / root)) / 2
    if not share >= 0.01:
        raise ValueError(
            f"init: trunc_normal: got mean={mean}, std={std}, low={low}, high={high}, wanted "
            "low < high, std > 0 and an interval that holds 1% of the distribution or more"
        )
    rng = random.generator()
    values = rng.normal(mean, std, array.size)
    outside = np.flatnonzero((values < low) | (values > high))
    while outside.size:
        values[outside] = rng.normal(mean, std, outside.size)
        drawn = values[outside]
        outside = outside[(drawn < low) | (drawn > high)]
    array[...] = values.reshape(array.shape)
    return parameter


def xavier_uniform(parameter: P, scale: float = 1.0) -> P:
    fan_in, fan_out = fans(_array(parameter).shape)
    bound = scale * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform(parameter, -bound, bound)


def xavier_normal(parameter: P, scale: float = 1.0) -> P:
    fan_in, fan_out = fans(_array(parameter).shape)
    return normal(parameter, 0.0, scale * math.sqrt(2.0 / (fan_in + fan_out)))


def kaiming_uniform(
    parameter: P, mode: str = "fan_in", nonlinearity: str = "relu", negative_slope: float = 0.01
) -> P:
    std = gain(nonlinearity, negative_slope) / math.sqrt(_fan(parameter, mode))
    bound = math.sqrt(3.0) * std
    return uniform(parameter, -bound, bound)


def kaiming_normal(
    parameter: P, mode: str = "fan_in", nonlinearity: str = "relu", negative_slope: float = 0.01
) -> P:
    std = gain(nonlinearity, negative_slope) / math.sqrt(_fan(parameter, mode))
    return normal(parameter, 0.0, std)


he_uniform = kaiming_uniform
he_normal = kaiming_normal


def torch_default(weight: Parameter, bias: Parameter | None) -> None:
    """What torch.nn gives convolutions and Linear: both uniform in +-1 / sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fans(weight.shape)[0])
    uniform(weight, -bound, bound)
    if bias is not None:
        uniform(bias, -bound, bound)


def _array(parameter: Any) -> Array:
    return parameter.data if isinstance(parameter, Parameter) else parameter


def _fan(parameter: Any, mode: str) -> int:
    fan_in, fan_out = fans(_array(parameter).shape)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'init: mode: got {mode!r}, wanted "fan_in" or "fan_out"')
    return fan_in if mode == "fan_in" else fan_out


def _draw_dtype(array: Array) -> Any:
    return np.float64 if array.dtype == np.float64 else np.float32
