"""The front for someone who only wants a kernel: arrays in, an array of the same kind out.

Every function takes C-contiguous NumPy or CuPy arrays, or tensors of another library that lend
themselves through DLPack (torch.Tensor, on the CPU or a GPU); the result is of the same kind and on
the same device, without a copy.
Activations are NHWC, weights [C_out, KH, KW, C_in / groups]; to_nhwc turns either from PyTorch's
order. All raise ValueError for a wrong shape, value or memory layout and TypeError for a wrong
dtype, device or array type, before any work.
"""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.ops import check
from convsmith.ops.activation import activation_forward
from convsmith.ops.conv2d import conv2d_backward_input, conv2d_forward
from convsmith.ops.epilogue import NO_EPILOGUE, Epilogue
from convsmith.ops.gemm import gemm
from convsmith.ops.geometry import IntOrPair, Padding
from convsmith.ops.interchange import borrow
from convsmith.ops.pool2d import (
    adaptive_avg_pool2d_forward,
    avg_pool2d_forward,
    max_pool2d_forward,
)
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape, Resample2dShape
from convsmith.ops.softmax import log_softmax_forward, softmax_forward
from convsmith.ops.upsample2d import upsample_bilinear2d_forward, upsample_nearest2d_forward


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Array:
    """The convolution of x [N, H, W, C_in] with weight [C_out, KH, KW, C_in / groups], plus bias.

    stride and dilation are an int or (h, w); padding an int, (h, w), ((top, bottom), (left,
    right)) or "same" (out = ceil(in / stride)). Returns y [N, out_h, out_w, C_out] with
    out = floor((in + pads - ((kernel - 1) * dilation + 1)) / stride) + 1.
    """
    (x, weight, bias), give_back = borrow("conv2d", x=x, weight=weight, bias=bias)
    shape = Conv2dShape.infer(
        x.shape, weight.shape, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    epilogue = NO_EPILOGUE if bias is None else Epilogue(bias=bias)
    return give_back(conv2d_forward(x, weight, shape, epilogue, algorithm=algorithm))


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Array:
    """The transposed convolution of x [N, H, W, C_in] with weight [C_in, KH, KW, C_out / groups].

    It is conv2d's gradient with respect to its input, for the convolution whose weight this is.
    Returns y [N, out_h, out_w, C_out] with
    out = (in - 1) * stride - pads + (kernel - 1) * dilation + 1 + output_padding,
    where output_padding is less than the stride; padding "same" gives out = in * stride.
    """
    (x, weight, bias), give_back = borrow("conv_transpose2d", x=x, weight=weight, bias=bias)
    shape = Conv2dShape.infer_transposed(
        x.shape,
        weight.shape,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )
    # Here, since the op below would call x by the name of dy.
    check.floats("conv_transpose2d", "x", x)
    if bias is not None:
        check.like("conv_transpose2d", "bias", bias, "x", x, (shape.in_c,))
    y = conv2d_backward_input(x, weight, shape, algorithm=algorithm)
    if bias is not None:
        y += bias
    return give_back(y)


def max_pool2d(
    x: Array,
    kernel: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> Array:
    """The maximum of every window of x [N, H, W, C]; stride defaults to the kernel.

    A NaN in a window is its maximum; a window wholly in the padding gives -inf.
    """
    (x,), give_back = borrow("max_pool2d", x=x)
    shape = Pool2dShape.infer(
        x.shape,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        op="max_pool2d",
    )
    y, _ = max_pool2d_forward(x, shape, with_argmax=False)
    return give_back(y)


def avg_pool2d(
    x: Array,
    kernel: IntOrPair,
    *,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The average of every window of x [N, H, W, C]; stride defaults to the kernel.

    count_include_pad says whether padding counts in the divisor, as in PyTorch.
    """
    (x,), give_back = borrow("avg_pool2d", x=x)
    shape = Pool2dShape.infer(
        x.shape,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        op="avg_pool2d",
    )
    return give_back(avg_pool2d_forward(x, shape, count_include_pad=count_include_pad))


def adaptive_avg_pool2d(x: Array, size: IntOrPair) -> Array:
    """x [N, H, W, C] averaged to [N, *size, C]; 1 averages each channel over the whole plane."""
    (x,), give_back = borrow("adaptive_avg_pool2d", x=x)
    shape = Resample2dShape.infer(x.shape, size, op="adaptive_avg_pool2d")
    return give_back(adaptive_avg_pool2d_forward(x, shape))


def upsample_nearest2d(x: Array, size: IntOrPair) -> Array:
    """x [N, H, W, C] resampled to [N, *size, C] by taking the nearest pixel."""
    (x,), give_back = borrow("upsample_nearest2d", x=x)
    shape = Resample2dShape.infer(x.shape, size, op="upsample_nearest2d")
    return give_back(upsample_nearest2d_forward(x, shape))


def upsample_bilinear2d(x: Array, size: IntOrPair, *, align_corners: bool = False) -> Array:
    """x [N, H, W, C] resampled to [N, *size, C] by bilinear interpolation."""
    (x,), give_back = borrow("upsample_bilinear2d", x=x)
    shape = Resample2dShape.infer(x.shape, size, op="upsample_bilinear2d")
    return give_back(upsample_bilinear2d_forward(x, shape, align_corners=align_corners))


def matmul(a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False) -> Array:
    """a [m, k] @ b [k, n], either one given as its transpose if its flag is set."""
    (a, b), give_back = borrow("matmul", a=a, b=b)
    GemmShape.infer(a.shape, b.shape, transpose_a=transpose_a, transpose_b=transpose_b, op="matmul")
    return give_back(gemm(a, b, transpose_a=transpose_a, transpose_b=transpose_b))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return _activation("relu", x)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x, or negative_slope * x below 0; the slope is positive."""
    return _activation("leaky_relu", x, negative_slope)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return _activation("sigmoid", x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return _activation("tanh", x)


def silu(x: Array) -> Array:
    """x * sigmoid(x)."""
    return _activation("silu", x)


def hardswish(x: Array) -> Array:
    """x * min(max(x + 3, 0), 6) / 6."""
    return _activation("hardswish", x)


def softmax(x: Array) -> Array:
    """exp(x) / sum(exp(x)) over the last axis."""
    (x,), give_back = borrow("softmax", x=x)
    return give_back(softmax_forward(x))


def log_softmax(x: Array) -> Array:
    """x - log(sum(exp(x))) over the last axis."""
    (x,), give_back = borrow("log_softmax", x=x)
    return give_back(log_softmax_forward(x))


def _activation(kind: str, x: Array, negative_slope: float = 0.01) -> Array:
    (x,), give_back = borrow(kind, x=x)
    return give_back(activation_forward(x, kind, negative_slope=negative_slope))
