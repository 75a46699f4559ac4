"""The activations in Python: y = kind(x). NaN stays NaN.

negative_slope is read by leaky_relu alone. `convsmith check --kernel` on this folder holds it
against the truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.workbench import Kernel


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) by the exponential of a number that is never positive: no overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def activation_forward(kind: str, negative_slope: float, x: Array, y: Array) -> None:
    if kind == "identity":
        y[...] = x
    elif kind == "relu":
        np.maximum(x, 0, out=y)
    elif kind == "leaky_relu":
        y[...] = np.where(x > 0, x, x * np.float32(negative_slope))
    elif kind == "sigmoid":
        y[...] = sigmoid(x)
    elif kind == "tanh":
        np.tanh(x, out=y)
    elif kind == "silu":
        y[...] = x * sigmoid(x)
    elif kind == "hardswish":
        y[...] = x * np.clip(x + 3, 0, 6) / 6
    else:
        raise ValueError(f"activation_forward: kind: got {kind!r}, which is not written here")


kernel = Kernel(op="activation_forward", source=activation_forward)
