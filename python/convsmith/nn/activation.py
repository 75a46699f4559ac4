"""Activations, and the softmaxes over the last axis. All keep the shape of their input."""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.nn.layer import Cache, Layer, need_cache
from convsmith.ops.activation import activation_backward, activation_forward, saves_input
from convsmith.ops.epilogue import ACTIVATIONS
from convsmith.ops.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)


def check_kind(name: str, kind: str) -> str:
    """``kind`` if it is a known activation, else ValueError."""
    if kind not in ACTIVATIONS:
        raise ValueError(
            f"{name}: activation: got {kind!r}, wanted one of {', '.join(ACTIVATIONS)}"
        )
    return kind


def epilogue_kind(kind: str, training: bool) -> str:
    """The part of an activation that a convolution or matrix product may apply as it stores.

    In training, an activation whose gradient needs its input has to be applied afterwards.
    """
    return "identity" if training and saves_input(kind) else kind


class Activation(Layer):
    """An elementwise function by name, one of convsmith.ops.epilogue.ACTIVATIONS."""

    def __init__(self, kind: str, negative_slope: float = 0.01) -> None:
        self.kind = check_kind(type(self).__name__, kind)
        self.negative_slope = float(negative_slope)
        if kind == "leaky_relu" and not self.negative_slope > 0:
            raise ValueError(
                f"{type(self).__name__}: negative_slope: got {negative_slope}, wanted more than 0; "
                "use ReLU for 0"
            )
        if type(self) is Activation:
            self.describe(repr(kind), negative_slope=(self.negative_slope, 0.01))
        else:
            self.describe()

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        y = activation_forward(x, self.kind, negative_slope=self.negative_slope)
        if not training:
            return y, None
        return y, (x if saves_input(self.kind) else y)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        return activation_backward(dy, cache, self.kind, negative_slope=self.negative_slope)


class ReLU(Activation):
    """max(x, 0); the gradient at 0 is 0."""

    def __init__(self) -> None:
        super().__init__("relu")


class LeakyReLU(Activation):
    """x where positive, else negative_slope * x; negative_slope > 0."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__("leaky_relu", negative_slope)
        self.describe(negative_slope)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    def __init__(self) -> None:
        super().__init__("sigmoid")


class Tanh(Activation):
    """tanh(x)."""

    def __init__(self) -> None:
        super().__init__("tanh")


class SiLU(Activation):
    """x * sigmoid(x) (Elfwing et al. 2017, arXiv:1702.03118)."""

    def __init__(self) -> None:
        super().__init__("silu")


class Hardswish(Activation):
    """x * clip(x + 3, 0, 6) / 6 (Howard et al. 2019, arXiv:1905.02244)."""

    def __init__(self) -> None:
        super().__init__("hardswish")


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over the last axis. For training, prefer nn.cross_entropy on logits."""

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        y = softmax_forward(x)
        return y, (y if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        return softmax_backward(dy, cache) if input_grad else None


class LogSoftmax(Layer):
    """x - log(sum(exp(x))) over the last axis."""

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        y = log_softmax_forward(x)
        return y, (y if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        return log_softmax_backward(dy, cache) if input_grad else None
