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
from operator import index
from typing import Any, TypeAlias

from convsmith.typing import Shape

IntOrPair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[Pair, Pair]

MAX_EXTENT = 2**31 - 1  # any dimension, padding, stride, padded size or dilated window
MAX_ELEMENTS = (2**63 - 1) // 8  # any tensor; 8 bytes is the widest element there is


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
            _ints(op, "x", x_shape),
            _ints(op, "weight", weight_shape),
            _pair(op, "stride", stride),
            _pads(op, padding),
            _pair(op, "dilation", dilation),
            _int(op, "groups", groups),
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
            _ints(op, "x", x_shape),
            _ints(op, "weight", weight_shape),
            _pair(op, "stride", stride),
            _pads(op, padding),
            _pair(op, "output_padding", output_padding),
            _pair(op, "dilation", dilation),
            _int(op, "groups", groups),
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
            _ints(op, "x", x_shape),
            _pair(op, "kernel", kernel),
            _pair(op, "stride", kernel if stride is None else stride),
            _pads(op, padding),
            _pair(op, "dilation", dilation),
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
        return _resample2d(_ints(op, "x", x_shape), _pair(op, "size", size), op)

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.in_h, self.in_w, self.channels)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.batch, self.out_h, self.out_w, self.channels)


@dataclass(frozen=True, slots=True)
class GemmShape:
    """c [gemm_m, gemm_n] = op(a) [gemm_m, gemm_k] @ op(b) [gemm_k, gemm_n].

    Any of the three may be 0: an empty batch is gemm_m forward and gemm_k in the weights' gradient.
    """

    gemm_m: int
    gemm_n: int
    gemm_k: int
    transpose_a: bool
    transpose_b: bool

    @staticmethod
    def infer(
        a_shape: Sequence[int],
        b_shape: Sequence[int],
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        op: str = "gemm",
    ) -> GemmShape:
        """The shape of the product of two matrices, each transposed first if its flag is set."""
        return _gemm(
            _ints(op, "a", a_shape),
            _ints(op, "b", b_shape),
            bool(transpose_a),
            bool(transpose_b),
            op,
        )

    @property
    def c_shape(self) -> Pair:
        return (self.gemm_m, self.gemm_n)

    @property
    def macs(self) -> int:
        return self.gemm_m * self.gemm_n * self.gemm_k


# Arguments to ints.


def _int(op: str, name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise TypeError(
            f"{op}: {name}: got {value!r} of type {type(value).__name__}, wanted an int"
        ) from None


def _ints(op: str, name: str, shape: Sequence[int]) -> Shape:
    try:
        return tuple(map(index, shape))
    except TypeError:
        raise TypeError(
            f"{op}: {name}: got shape {shape!r}, wanted a sequence of ints; pass {name}.shape"
        ) from None


def _pair(op: str, name: str, value: IntOrPair) -> Pair:
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{op}: {name}: got {value!r}, wanted an int or (h, w)")
        return (_int(op, name, value[0]), _int(op, name, value[1]))
    one = _int(op, name, value)
    return (one, one)


def _pads(op: str, padding: Padding) -> Pads | str:
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(f'{op}: padding: got {padding!r}; the only word for padding is "same"')
        return padding
    if isinstance(padding, (tuple, list)):
        if len(padding) != 2:
            raise ValueError(
                f"{op}: padding: got {padding!r}, wanted an int, (h, w), "
                '((top, bottom), (left, right)) or "same"'
            )
        return (_pair(op, "padding", padding[0]), _pair(op, "padding", padding[1]))
    one = _int(op, "padding", padding)
    return ((one, one), (one, one))


# The formulas.


def _out_size(padded: int, window: int, stride: int) -> int:
    # Python's // rounds down: a window larger than the input must give 0 or less, never 1.
    return (padded - window) // stride + 1


def _check_range(op: str, name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{op}: {name}: got {value}, wanted at least {least}")
    if value > MAX_EXTENT:
        raise ValueError(f"{op}: {name}: got {value}, wanted at most 2^31 - 1 = {MAX_EXTENT}")


def _check_pairs(op: str, least: int, **pairs: Pair) -> None:
    for name, (h, w) in pairs.items():
        _check_range(op, f"{name} (height)", h, least)
        _check_range(op, f"{name} (width)", w, least)


def _check_elements(op: str, name: str, shape: Shape) -> None:
    elements = 1
    for size in shape:
        elements *= size
    if elements > MAX_ELEMENTS:
        raise ValueError(
            f"{op}: {name}: shape {shape} has {elements} elements, wanted at most {MAX_ELEMENTS} "
            "(2^63 - 1 bytes)"
        )


def _check_nhwc(op: str, shape: Shape) -> None:
    if len(shape) != 4:
        raise ValueError(
            f"{op}: x: got shape {shape}, wanted 4 dimensions [batch, height, width, channels]"
        )
    for name, size, least in zip(
        ("batch", "height", "width", "channels"), shape, (0, 1, 1, 1), strict=True
    ):
        _check_range(op, f"x: shape {shape}: {name}", size, least)
    _check_elements(op, "x", shape)


def _same_pads(size: Pair, window: Pair, stride: Pair) -> Pads:
    def one(size: int, window: int, stride: int) -> Pair:
        out = -(-size // stride)
        total = max((out - 1) * stride + window - size, 0)
        return (total // 2, total - total // 2)

    return (
        one(size[0], window[0], stride[0]),
        one(size[1], window[1], stride[1]),
    )


def _window(op: str, kernel: Pair, dilation: Pair) -> Pair:
    """The extent of the dilated kernel."""
    window = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
    for side, extent, k, d in zip(("height", "width"), window, kernel, dilation, strict=True):
        if extent > MAX_EXTENT:
            raise ValueError(
                f"{op}: dilation ({side}): got {d} with a kernel of {k}: a window of {extent}, "
                f"wanted at most 2^31 - 1 = {MAX_EXTENT}"
            )
    return window


def _padded(op: str, size: Pair, pads: Pads) -> Pair:
    for side, (before, after) in zip(("height", "width"), pads, strict=True):
        _check_range(op, f"padding ({side})", before, 0)
        _check_range(op, f"padding ({side})", after, 0)
    padded = (size[0] + sum(pads[0]), size[1] + sum(pads[1]))
    for side, extent in zip(("height", "width"), padded, strict=True):
        if extent > MAX_EXTENT:
            raise ValueError(
                f"{op}: padding ({side}): got {pads}: a padded input of {extent}, "
                f"wanted at most 2^31 - 1 = {MAX_EXTENT}"
            )
    return padded


def _check_out(op: str, out: Pair, x_shape: Shape, window: Pair, stride: Pair, pads: Pads) -> None:
    if out[0] < 1 or out[1] < 1:
        raise ValueError(
            f"{op}: x: got shape {x_shape}, whose output would be {out[0]} x {out[1]}: the window "
            f"of {window[0]} x {window[1]} (dilation included) does not fit the input padded by "
            f"{pads} at stride {stride}; wanted an output of at least 1 x 1: use a larger input, "
            "more padding or a smaller kernel"
        )


def _check_weight(op: str, weight: Shape, layout: str) -> None:
    if len(weight) != 4:
        raise ValueError(f"{op}: weight: got shape {weight}, wanted 4 dimensions {layout}")
    for size in weight:
        _check_range(op, f"weight: shape {weight}: dimension", size, 1)
    _check_elements(op, "weight", weight)


@lru_cache(maxsize=4096)
def _conv2d(
    x: Shape, weight: Shape, stride: Pair, pads: Pads | str, dilation: Pair, groups: int, op: str
) -> Conv2dShape:
    _check_nhwc(op, x)
    _check_weight(op, weight, "[out channels, kernel height, kernel width, in channels / groups]")
    _check_pairs(op, 1, stride=stride, dilation=dilation)
    _check_range(op, "groups", groups, 1)
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
    window = _window(op, (kernel_h, kernel_w), dilation)
    if isinstance(pads, str):
        pads = _same_pads((in_h, in_w), window, stride)
    padded = _padded(op, (in_h, in_w), pads)
    out = (_out_size(padded[0], window[0], stride[0]), _out_size(padded[1], window[1], stride[1]))
    _check_out(op, out, x, window, stride, pads)
    _check_elements(op, "y", (batch, out[0], out[1], out_c))
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
    _check_nhwc(op, x)
    _check_weight(op, weight, "[in channels, kernel height, kernel width, out channels / groups]")
    _check_pairs(op, 1, stride=stride, dilation=dilation)
    _check_pairs(op, 0, output_padding=output_padding)
    _check_range(op, "groups", groups, 1)
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
    window = _window(op, (weight[1], weight[2]), dilation)
    size = (in_h, in_w)
    if isinstance(pads, str):
        if output_padding != (0, 0):
            raise ValueError(
                f'{op}: output_padding: got {output_padding}, wanted 0 with padding="same", whose '
                "output is always in * stride"
            )
        out = (size[0] * stride[0], size[1] * stride[1])
    else:
        for extra, step in zip(output_padding, stride, strict=True):
            if extra >= step:
                raise ValueError(
                    f"{op}: output_padding: got {output_padding}, wanted less than the stride "
                    f"{stride}"
                )
        _padded(op, size, pads)
        grown = [(size[i] - 1) * stride[i] + window[i] + output_padding[i] for i in (0, 1)]
        out = (grown[0] - sum(pads[0]), grown[1] - sum(pads[1]))
        if out[0] < 1 or out[1] < 1:
            raise ValueError(
                f"{op}: padding: got {pads}, which leaves nothing of an output of {grown[0]} x "
                f"{grown[1]} for x of shape {x}; wanted an output of at least 1 x 1: use less "
                "padding"
            )
    y_shape = (batch, out[0], out[1], weight[3] * groups)
    _check_range(op, "output height", out[0], 1)
    _check_range(op, "output width", out[1], 1)
    _check_elements(op, "y", y_shape)
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
    _check_nhwc(op, x)
    _check_pairs(op, 1, kernel=kernel, stride=stride, dilation=dilation)
    batch, in_h, in_w, channels = x
    if kernel[0] * kernel[1] > MAX_EXTENT:
        raise ValueError(
            f"{op}: kernel: got {kernel}, wanted at most 2^31 - 1 = {MAX_EXTENT} positions in it"
        )
    window = _window(op, kernel, dilation)
    if isinstance(pads, str):
        pads = _same_pads((in_h, in_w), window, stride)
    padded = _padded(op, (in_h, in_w), pads)

    def out_size(side: int) -> int:
        if not ceil_mode:
            return _out_size(padded[side], window[side], stride[side])
        out = _out_size(padded[side] + stride[side] - 1, window[side], stride[side])
        starts_past_input = (out - 1) * stride[side] >= (in_h, in_w)[side] + pads[side][0]
        return out - 1 if starts_past_input else out

    out = (out_size(0), out_size(1))
    _check_out(op, out, x, window, stride, pads)
    _check_elements(op, "y", (batch, out[0], out[1], channels))
    return Pool2dShape(
        *(batch, in_h, in_w, channels, out[0], out[1]),
        *(*kernel, *stride, *dilation, *pads[0], *pads[1]),
    )


@lru_cache(maxsize=4096)
def _resample2d(x: Shape, size: Pair, op: str) -> Resample2dShape:
    _check_nhwc(op, x)
    _check_pairs(op, 1, size=size)
    _check_elements(op, "y", (x[0], size[0], size[1], x[3]))
    return Resample2dShape(*x, *size)


@lru_cache(maxsize=4096)
def _gemm(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool, op: str) -> GemmShape:
    for name, shape in (("a", a), ("b", b)):
        if len(shape) != 2:
            raise ValueError(f"{op}: {name}: got shape {shape}, wanted a matrix of 2 dimensions")
        for size in shape:
            _check_range(op, f"{name}: shape {shape}: dimension", size, 0)
        _check_elements(op, name, shape)
    gemm_m, a_k = reversed(a) if transpose_a else a
    b_k, gemm_n = reversed(b) if transpose_b else b
    if a_k != b_k:
        raise ValueError(
            f"{op}: b: got shape {b}{' transposed' * transpose_b}, wanted {a_k} rows to match a "
            f"of shape {a}{' transposed' * transpose_a}, not {b_k}"
        )
    _check_elements(op, "c", (gemm_m, gemm_n))
    return GemmShape(gemm_m, gemm_n, a_k, transpose_a, transpose_b)
