"""Element-wise activations.

identity x, relu max(x, 0), leaky_relu x or negative_slope * x below 0, sigmoid 1 / (1 + exp(-x)),
tanh, silu x * sigmoid(x) (arXiv:1702.03118), hardswish x * min(max(x + 3, 0), 6) / 6
(arXiv:1905.02244). Arrays of any shape, C-contiguous, of one float dtype. Both raise ValueError
for an unknown kind, a wrong shape or memory layout, TypeError for a wrong dtype or array type.
"""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check
from convsmith.ops.epilogue import ACTIVATIONS

_SAVES_INPUT = {kind: kind in ("silu", "hardswish") for kind in ACTIVATIONS}


def saves_input(kind: str) -> bool:
    """Whether activation_backward wants x (silu, hardswish) as ``saved``; the others want y."""
    check.activation("saves_input", "kind", kind, 1.0)
    return _SAVES_INPUT[kind]


def activation_forward(x: Array, kind: str, *, negative_slope: float = 0.01) -> Array:
    """y, of x's shape. negative_slope, which must be positive, is read by leaky_relu alone."""
    op = "activation_forward"
    dtype = check.floats(op, "x", x)
    negative_slope = check.activation(op, "kind", kind, negative_slope)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    backend.activation_forward(x, y, kind=kind, negative_slope=negative_slope)
    return y


def activation_backward(
    dy: Array, saved: Array, kind: str, *, negative_slope: float = 0.01
) -> Array:
    """dx, of dy's shape. saved is x where saves_input(kind), else y."""
    op = "activation_backward"
    dtype = check.floats(op, "dy", dy)
    check.like(op, "saved", saved, "dy", dy, dy.shape)
    negative_slope = check.activation(op, "kind", kind, negative_slope)
    backend = select(op, (dy,), dtype)
    dx = backend.empty(dy.shape, dtype)
    backend.activation_backward(dy, saved, dx, kind=kind, negative_slope=negative_slope)
    return dx
