"""What a convolution or a matrix product does to its accumulator before the single store."""

from __future__ import annotations

from dataclasses import dataclass

from convsmith.arrays import Array

ACTIVATIONS = ("identity", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish")


@dataclass(frozen=True, eq=False, slots=True)
class Epilogue:
    """y = activation(accumulator + bias + residual).

    bias is [C_out] or None, residual has the shape of y or is None, activation is one of
    ACTIVATIONS; negative_slope is read by leaky_relu alone. The op that takes the epilogue checks
    it, since only there are the shapes known.
    """

    bias: Array | None = None
    residual: Array | None = None
    activation: str = "identity"
    negative_slope: float = 0.01


NO_EPILOGUE = Epilogue()
