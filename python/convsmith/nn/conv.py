"""Convolution and transposed convolution of NHWC arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from convsmith.arrays import Array
from convsmith.nn import init
from convsmith.nn.activation import check_kind, epilogue_kind
from convsmith.nn.layer import Cache, Layer, Parameter, check_dtype, check_nhwc, need_cache
from convsmith.ops.activation import activation_backward, activation_forward
from convsmith.ops.conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.geometry import (
    IntOrPair,
    Padding,
    as_int,
    as_pads,
    as_pair,
    check_pairs,
    check_range,
)
from convsmith.ops.shapes import Conv2dShape


class _Conv(Layer):
    """What both convolutions have: their arguments, checked, and a weight and a bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: Padding,
        dilation: IntOrPair,
        groups: int,
    ) -> None:
        name = type(self).__name__
        self.in_channels = as_int(name, "in_channels", in_channels)
        self.out_channels = as_int(name, "out_channels", out_channels)
        self.groups = as_int(name, "groups", groups)
        check_range(name, "in_channels", self.in_channels, 1)
        check_range(name, "out_channels", self.out_channels, 1)
        check_range(name, "groups", self.groups, 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"{name}: groups: got {groups}, wanted a divisor of in_channels={in_channels} and "
                f"of out_channels={out_channels}"
            )
        self.kernel_size = as_pair(name, "kernel_size", kernel_size)
        self.stride = as_pair(name, "stride", stride)
        self.dilation = as_pair(name, "dilation", dilation)
        check_pairs(
            name, 1, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation
        )
        self.padding = as_pads(name, padding)
        if not isinstance(self.padding, str):
            check_pairs(name, 0, padding=self.padding[0])
            check_pairs(name, 0, padding=self.padding[1])

    def _make_parameters(self, first: int, last: int, bias: bool, dtype: DTypeLike) -> None:
        dtype = check_dtype(type(self).__name__, dtype)
        self.weight = Parameter(np.empty((first, *self.kernel_size, last), dtype))
        self.bias = Parameter(np.empty(self.out_channels, dtype)) if bias else None
        init.torch_default(self.weight, self.bias)


class Conv2d(_Conv):
    """Convolution (cross-correlation) of x [N, H, W, in_channels], as torch.nn.Conv2d.

    weight is [out_channels, kernel_h, kernel_w, in_channels / groups], bias [out_channels].
    padding is an int, (h, w), ((top, bottom), (left, right)) or "same". ``activation`` (one of
    ops.epilogue.ACTIVATIONS) is computed as the result is stored, which saves a pass over the
    memory. Initial values are those of torch.nn.Conv2d. Errors are ValueError.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        activation: str = "identity",
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.activation = check_kind("Conv2d", activation)
        self._make_parameters(self.out_channels, self.in_channels // self.groups, bias, dtype)
        self.describe(
            in_channels,
            out_channels,
            kernel_size,
            stride=(stride, 1),
            padding=(padding, 0),
            dilation=(dilation, 1),
            groups=(groups, 1),
            bias=(bias, True),
            activation=(activation, "identity"),
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc(self.label, x, self.in_channels, self.weight)
        weight = self.weight.data
        shape = Conv2dShape.infer(
            x.shape,
            weight.shape,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            op=self.label,
        )
        kind = epilogue_kind(self.activation, training)
        bias = None if self.bias is None else self.bias.data
        y = conv2d_forward(x, weight, shape, Epilogue(bias=bias, activation=kind))
        saved = y if self.activation != "identity" else None
        if kind != self.activation:
            y = activation_forward(y, self.activation)
        return y, ((x, shape, saved) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        x, shape, saved = cache
        if saved is not None:
            dy = activation_backward(dy, saved, self.activation)
        self.weight.accumulate(conv2d_backward_weight(x, dy, shape))
        if self.bias is not None:
            self.bias.accumulate(conv2d_backward_bias(dy))
        return conv2d_backward_input(dy, self.weight.data, shape) if input_grad else None


class ConvTranspose2d(_Conv):
    """Transposed convolution of x [N, H, W, in_channels]: the gradient of a Conv2d by its input.

    weight is [in_channels, kernel_h, kernel_w, out_channels / groups], bias [out_channels].
    out = (in - 1) * stride - pads + (kernel - 1) * dilation + 1 + output_padding, with
    output_padding < stride; padding "same" gives out = in * stride. Initial values are those of
    torch.nn.ConvTranspose2d. Errors are ValueError.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrPair = 1,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = as_pair("ConvTranspose2d", "output_padding", output_padding)
        self._make_parameters(self.in_channels, self.out_channels // self.groups, bias, dtype)
        self.describe(
            in_channels,
            out_channels,
            kernel_size,
            stride=(stride, 1),
            padding=(padding, 0),
            output_padding=(output_padding, 0),
            groups=(groups, 1),
            bias=(bias, True),
            dilation=(dilation, 1),
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc(self.label, x, self.in_channels, self.weight)
        weight = self.weight.data
        shape = Conv2dShape.infer_transposed(
            x.shape,
            weight.shape,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
            op=self.label,
        )
        y = conv2d_backward_input(x, weight, shape)
        if self.bias is not None:
            y += self.bias.data
        return y, ((x, shape) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        x, shape = cache
        # Transposed: what the convolution calls its input is dy here, its output gradient is x.
        self.weight.accumulate(conv2d_backward_weight(dy, x, shape))
        if self.bias is not None:
            self.bias.accumulate(conv2d_backward_bias(dy))
        return conv2d_forward(dy, self.weight.data, shape) if input_grad else None
