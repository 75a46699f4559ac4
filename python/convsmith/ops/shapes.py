"""Geometry: the only place in Python where an output size is computed.

Every class is built by ``infer``, which checks the whole geometry with Python's unbounded
integers, so that whatever it returns can be multiplied out in int64 by a kernel. The classes'
plain constructors check nothing. Results are remembered, because a training step asks for the
same few shapes again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from convsmith.arrays import Shape
from convsmith.ops.gemm_shape import GemmShape
from convsmith.ops.geometry import (
    IntOrPair,
    Padding,
    Pads,
    Pair,
    as_int,
    as_ints,
    as_pads,
    as_pair,
    check_elements,
    check_nhwc,
    check_out,
    check_output_padding,
    check_pairs,
    check_positions,
    check_range,
    check_weight,
    nothing_left,
    padded_extent,
    window_extent,
)

__all__ = ["Conv2dShape", "GemmShape", "Pool2dShape", "Resample2dShape"]


@dataclass(frozen=True, slots=True)
class Conv2dShape:
    """The geometry of one convolution, in all its directions.

    x is [batch, in_h, in_w, in_c], weight [out_c, kernel_h, kernel_w, in_c / groups],
    y [batch, out_h, out_w, out_c], with
    out = floor((in + pads - ((kernel - 1) * dilation + 1)) / stride) + 1.
    """

    batch: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int
    groups: int

    @staticmethod
    def infer(
        x_shape: Sequence[int],
        weight_shape: Sequence[int],
        *,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        op: str = "conv2d",
    ) -> Conv2dShape:
        """The shape of the convolution of x with weight.

        padding is an int, (h, w), ((top, bottom), (left, right)) or "same": out = ceil(in /
        stride), an odd pixel going to the bottom or right. ``op`` is the name that errors carry.
        Raises ValueError for an impossible geometry, TypeError for a value that is no int.
        """
        return _conv2d(
            as_ints(op, "x", x_shape),
            as_ints(op, "weight", weight_shape),
            as_pair(op, "stride", stride),
            as_pads(op, padding),
            as_pair(op, "dilation", dilation),
            as_int(op, "groups", groups),
            op,
        )

    @staticmethod
    def infer_transposed(
        x_shape: Sequence[int],
        weight_shape: Sequence[int],
        *,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        output_padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        op: str = "conv_transpose2d",
    ) -> Conv2dShape:
        """The shape of the convolution whose backward_input is the transposed convolution of x.

        x is [batch, h, w, c_in] and weight [c_in, kernel_h, kernel_w, c_out / groups]. The
        result's x_shape is the transposed convolution's *output*, its y_shape is ``x_shape``:
        out = (in - 1) * stride - pads + (kernel - 1) * dilation + 1 + output_padding,
        and out = in * stride for padding "same". Raises as ``infer``.
        """
        return _conv2d_transposed(
            as_ints(op, "x", x_shape),
            as_ints(op, "weight", weight_shape),
            as_pair(op, "stride", stride),
            as_pads(op, padding),
            as_pair(op, "output_padding", output_padding),
            as_pair(op, "dilation", dilation),
            as_int(op, "groups", groups),
            op,
        )

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_h, self.in_w, self.in_c)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.out_c, self.kernel_h, self.kernel_w, self.in_c // self.groups)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_h, self.out_w, self.out_c)

    @property
    def macs(self) -> int:
        """Multiply-adds of one direction, those that meet padding included."""
        taps = self.kernel_h * self.kernel_w * (self.in_c // self.groups)
        return self.batch * self.out_h * self.out_w * self.out_c * taps


@dataclass(frozen=True, slots=True)
class Pool2dShape:
    """The geometry of a sliding-window pooling of x [batch, in_h, in_w, channels]."""

    batch: int
    in_h: int
    in_w: int
    channels: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int

    @staticmethod
    def infer(
        x_shape: Sequence[int],
        *,
        kernel: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
        op: str = "pool2d",
    ) -> Pool2dShape:
        """The shape of a pooling; stride defaults to the kernel, padding is as for Conv2dShape.

        ceil_mode is PyTorch's: one more window where the stride leaves a rest, provided that the
        window starts inside the input or its top/left padding. Raises as Conv2dShape.infer.
        """
        return _pool2d(
            as_ints(op, "x", x_shape),
            as_pair(op, "kernel", kernel),
            as_pair(op, "stride", kernel if stride is None else stride),
            as_pads(op, padding),
            as_pair(op, "dilation", dilation),
            bool(ceil_mode),
            op,
        )

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_h, self.in_w, self.channels)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_h, self.out_w, self.channels)


@dataclass(frozen=True, slots=True)
class Resample2dShape:
    """Adaptive pooling and upsampling: x [batch, in_h, in_w, channels] to any out_h, out_w."""

    batch: int
    in_h: int
    in_w: int
    channels: int
    out_h: int
    out_w: int

    @staticmethod
    def infer(
        x_shape: Sequence[int], size: IntOrPair, *, op: str = "resample2d"
    ) -> Resample2dShape:
        """The shape of a resampling to ``size``, an int or (h, w). Raises as Conv2dShape.infer."""
        return _resample2d(as_ints(op, "x", x_shape), as_pair(op, "size", size), op)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_h, self.in_w, self.channels)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_h, self.out_w, self.channels)


# The formulas.


def _out_size(padded: int, window: int, stride: int) -> int:
    # Python's // rounds down: a window larger than the input must give 0 or less, never 1.
    return (padded - window) // stride + 1


def _same_pads(size: Pair, window: Pair, stride: Pair) -> Pads:
    def one(size: int, window: int, stride: int) -> Pair:
        out = -(-size // stride)
        total = max((out - 1) * stride + window - size, 0)
        return (total // 2, total - total // 2)

    return (
        one(size[0], window[0], stride[0]),
        one(size[1], window[1], stride[1]),
    )


@lru_cache(maxsize=4096)
def _conv2d(
    x: Shape, weight: Shape, stride: Pair, pads: Pads | str, dilation: Pair, groups: int, op: str
) -> Conv2dShape:
    check_nhwc(op, x)
    check_weight(op, weight, "[out channels, kernel height, kernel width, in channels / groups]")
    check_pairs(op, 1, stride=stride, dilation=dilation)
    check_range(op, "groups", groups, 1)
    batch, in_h, in_w, in_c = x
    out_c, kernel_h, kernel_w, group_in_c = weight
    if in_c % groups or out_c % groups:
        raise ValueError(
            f"{op}: groups: got {groups}, wanted a divisor of both the {in_c} channels of x "
            f"{x} and the {out_c} output channels of weight {weight}"
        )
    if group_in_c * groups != in_c:
        raise ValueError(
            f"{op}: weight: got shape {weight} for x of shape {x} and groups={groups}, wanted "
            f"{in_c // groups} channels per group in the last dimension, not {group_in_c}"
        )
    window = window_extent(op, (kernel_h, kernel_w), dilation)
    if isinstance(pads, str):
        pads = _same_pads((in_h, in_w), window, stride)
    padded = padded_extent(op, (in_h, in_w), pads)
    out = (_out_size(padded[0], window[0], stride[0]), _out_size(padded[1], window[1], stride[1]))
    check_out(op, out, x, window, stride, pads)
    check_elements(op, "y", (batch, out[0], out[1], out_c))
    return Conv2dShape(
        *(batch, in_h, in_w, in_c),
        *(out[0], out[1], out_c),
        *(kernel_h, kernel_w, *stride, *dilation, *pads[0], *pads[1], groups),
    )


@lru_cache(maxsize=4096)
def _conv2d_transposed(
    x: Shape,
    weight: Shape,
    stride: Pair,
    pads: Pads | str,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
    op: str,
) -> Conv2dShape:
    check_nhwc(op, x)
    check_weight(op, weight, "[in channels, kernel height, kernel width, out channels / groups]")
    check_pairs(op, 1, stride=stride, dilation=dilation)
    check_range(op, "groups", groups, 1)
    batch, in_h, in_w, in_c = x
    if in_c % groups:
        raise ValueError(
            f"{op}: groups: got {groups}, wanted a divisor of the {in_c} channels of x {x}"
        )
    if weight[0] != in_c:
        raise ValueError(
            f"{op}: weight: got shape {weight} for x of shape {x}, wanted {in_c} in the first "
            "dimension: the weight is that of the convolution being transposed"
        )
    window = window_extent(op, (weight[1], weight[2]), dilation)
    size = (in_h, in_w)
    check_output_padding(op, output_padding, stride, pads)
    if isinstance(pads, str):
        out = (size[0] * stride[0], size[1] * stride[1])
    else:
        padded_extent(op, size, pads)
        grown = [(size[i] - 1) * stride[i] + window[i] + output_padding[i] for i in (0, 1)]
        out = (grown[0] - sum(pads[0]), grown[1] - sum(pads[1]))
        if out[0] < 1 or out[1] < 1:
            raise nothing_left(op, x, (grown[0], grown[1]), pads)
    y_shape = (batch, out[0], out[1], weight[3] * groups)
    check_range(op, "output height", out[0], 1)
    check_range(op, "output width", out[1], 1)
    check_elements(op, "y", y_shape)
    return _conv2d(y_shape, weight, stride, pads, dilation, groups, op)


@lru_cache(maxsize=4096)
def _pool2d(
    x: Shape,
    kernel: Pair,
    stride: Pair,
    pads: Pads | str,
    dilation: Pair,
    ceil_mode: bool,
    op: str,
) -> Pool2dShape:
    check_nhwc(op, x)
    check_pairs(op, 1, kernel=kernel, stride=stride, dilation=dilation)
    batch, in_h, in_w, channels = x
    check_positions(op, kernel)
    window = window_extent(op, kernel, dilation)
    if isinstance(pads, str):
        pads = _same_pads((in_h, in_w), window, stride)
    padded = padded_extent(op, (in_h, in_w), pads)

    def out_size(side: int) -> int:
        fitting = _out_size(padded[side], window[side], stride[side])
        rest = (padded[side] - window[side]) % stride[side]
        starts_inside = fitting * stride[side] < (in_h, in_w)[side] + pads[side][0]
        return fitting + (ceil_mode and rest > 0 and starts_inside)

    out = (out_size(0), out_size(1))
    check_out(op, out, x, window, stride, pads)
    check_elements(op, "y", (batch, out[0], out[1], channels))
    return Pool2dShape(
        *(batch, in_h, in_w, channels, out[0], out[1]),
        *(*kernel, *stride, *dilation, *pads[0], *pads[1]),
    )


@lru_cache(maxsize=4096)
def _resample2d(x: Shape, size: Pair, op: str) -> Resample2dShape:
    check_nhwc(op, x)
    check_pairs(op, 1, size=size)
    check_elements(op, "y", (x[0], size[0], size[1], x[3]))
    batch, in_h, in_w, channels = x
    return Resample2dShape(batch, in_h, in_w, channels, size[0], size[1])
