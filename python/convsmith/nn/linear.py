"""Linear, Flatten and Identity."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from convsmith.arrays import Array
from convsmith.nn import init
from convsmith.nn.activation import check_kind, epilogue_kind
from convsmith.nn.layer import Cache, Layer, Parameter, check_array, check_dtype, need_cache
from convsmith.ops.activation import activation_backward, activation_forward
from convsmith.ops.conv2d import conv2d_backward_bias
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.gemm import gemm
from convsmith.ops.geometry import as_int, check_range


class Linear(Layer):
    """y = activation(x @ weight.T + bias) for x [..., in_features], weight [out, in], bias [out].

    ``activation`` (one of ops.epilogue.ACTIVATIONS) is computed as the product is stored, which
    saves a pass over the memory. Initial values are those of torch.nn.Linear.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str = "identity",
        dtype: DTypeLike = "float32",
    ) -> None:
        self.in_features = as_int("Linear", "in_features", in_features)
        self.out_features = as_int("Linear", "out_features", out_features)
        check_range("Linear", "in_features", self.in_features, 1)
        check_range("Linear", "out_features", self.out_features, 1)
        self.activation = check_kind("Linear", activation)
        dtype = check_dtype("Linear", dtype)
        self.weight = Parameter(np.empty((self.out_features, self.in_features), dtype))
        self.bias = Parameter(np.empty(self.out_features, dtype)) if bias else None
        init.torch_default(self.weight, self.bias)
        self.describe(
            in_features, out_features, bias=(bias, True), activation=(activation, "identity")
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_array(self.label, x, self.weight)
        if not x.shape or x.shape[-1] != self.in_features:
            raise ValueError(
                f"{self.label}: x: got shape {x.shape}, wanted [..., {self.in_features}]"
                + ("; put a Flatten() before it" if len(x.shape) > 2 else "")
            )
        rows = x if len(x.shape) == 2 else x.reshape(-1, self.in_features)
        kind = epilogue_kind(self.activation, training)
        bias = None if self.bias is None else self.bias.data
        epilogue = Epilogue(bias=bias, activation=kind)
        y = gemm(rows, self.weight.data, transpose_b=True, epilogue=epilogue)
        saved = y if self.activation != "identity" else None
        if kind != self.activation:
            y = activation_forward(y, self.activation)
        if rows is not x:
            y = y.reshape(*x.shape[:-1], self.out_features)
        return y, ((rows, saved, x.shape) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        rows, saved, x_shape = cache
        if dy.shape != (*x_shape[:-1], self.out_features):
            raise ValueError(
                f"{self.label}: dy: got shape {dy.shape}, wanted "
                f"{(*x_shape[:-1], self.out_features)}, that of the result"
            )
        dy = dy.reshape(-1, self.out_features)
        if saved is not None:
            dy = activation_backward(dy, saved, self.activation)
        weight = self.weight
        if weight.grad is None:
            weight.grad = gemm(dy, rows, transpose_a=True)
        else:
            gemm(dy, rows, transpose_a=True, beta=1.0, out=weight.grad)
        if self.bias is not None:
            self.bias.accumulate(conv2d_backward_bias(dy))
        if not input_grad:
            return None
        dx: Array = gemm(dy, weight.data)
        return dx.reshape(x_shape)


class Flatten(Layer):
    """[batch, ...] to [batch, features], in memory order: height, width, channels.

    PyTorch flattens channels first, so the columns of a Linear that follows are in another order.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_array("Flatten", x)
        if not x.shape:
            raise ValueError("Flatten: x: got shape (), wanted [batch, ...]")
        features = 1
        for size in x.shape[1:]:
            features *= size
        return x.reshape(x.shape[0], features), (x.shape if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        return dy.reshape(cache) if input_grad else None


class Identity(Layer):
    """x itself."""

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        return x, (() if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        return dy if input_grad else None
