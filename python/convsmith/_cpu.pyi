"""
convsmith's CPU kernels: float32, NHWC. Outputs are filled in place; use convsmith.ops.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy

import convsmith.ops.shapes

__all__: list[str] = [
    "activation_backward",
    "activation_forward",
    "adam_update",
    "adaptive_avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "add",
    "algorithms",
    "arena_stats",
    "arena_trim",
    "available_isas",
    "avg_pool2d_backward_input",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference_backward",
    "batch_norm_inference_forward",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "empty",
    "gemm",
    "isa",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "max_pool2d_backward_input",
    "max_pool2d_forward",
    "num_threads",
    "set_isa",
    "set_num_threads",
    "set_poison",
    "sgd_update",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_forward",
    "upsample_bilinear2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_nearest2d_forward",
    "yardstick_copy",
    "yardstick_multiply_add",
]

def activation_backward(
    dy: numpy.ndarray, saved: numpy.ndarray, dx: numpy.ndarray, *, kind: str, negative_slope: float
) -> None:
    """
    dx = dy * kind'(x); saved is y, but x for silu and hardswish.
    """

def activation_forward(
    x: numpy.ndarray, y: numpy.ndarray, *, kind: str, negative_slope: float
) -> None:
    """
    y = kind(x), elementwise.
    """

def adam_update(
    param: numpy.ndarray,
    grad: numpy.ndarray,
    exp_avg: numpy.ndarray,
    exp_avg_sq: numpy.ndarray,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """
    One Adam (or, decoupled, AdamW) step in place; the first step is 1.
    """

def adaptive_avg_pool2d_backward_input(
    dy: numpy.ndarray, dx: numpy.ndarray, shape: convsmith.ops.shapes.Resample2dShape
) -> None:
    """
    dx = each window's dy shared among its elements.
    """

def adaptive_avg_pool2d_forward(
    x: numpy.ndarray, y: numpy.ndarray, shape: convsmith.ops.shapes.Resample2dShape
) -> None:
    """
    y = means over windows [floor(i in / out), ceil((i + 1) in / out)).
    """

def add(a: numpy.ndarray, b: numpy.ndarray, y: numpy.ndarray) -> None:
    """
    y = a + b, equal shapes.
    """

def algorithms(op: str, shape: typing.Any) -> list[str]:
    """
    Names that algorithm= takes for this op; the first is auto's.
    """

def arena_stats() -> dict[str, int]:
    """
    Bytes handed out, bytes kept for reuse, and how often the system was asked.
    """

def arena_trim() -> None:
    """
    Give all memory kept for reuse back to the system.
    """

def available_isas() -> list[str]:
    """
    What this processor can run, fastest last.
    """

def avg_pool2d_backward_input(
    dy: numpy.ndarray,
    dx: numpy.ndarray,
    shape: convsmith.ops.shapes.Pool2dShape,
    *,
    count_include_pad: bool,
) -> None:
    """
    dx = each window's dy shared among its elements.
    """

def avg_pool2d_forward(
    x: numpy.ndarray,
    y: numpy.ndarray,
    shape: convsmith.ops.shapes.Pool2dShape,
    *,
    count_include_pad: bool,
) -> None:
    """
    y = window means.
    """

def batch_norm_backward(
    dy: numpy.ndarray,
    x: numpy.ndarray,
    gamma: numpy.ndarray,
    mean: numpy.ndarray,
    var: numpy.ndarray,
    dx: numpy.ndarray,
    dgamma: numpy.ndarray,
    dbeta: numpy.ndarray,
    *,
    eps: float,
) -> None:
    """
    Gradients through the batch statistics as well.
    """

def batch_norm_forward(
    x: numpy.ndarray,
    gamma: numpy.ndarray,
    beta: numpy.ndarray,
    y: numpy.ndarray,
    mean: numpy.ndarray,
    var: numpy.ndarray,
    *,
    eps: float,
) -> None:
    """
    Training: y, and the mean and biased variance of each channel.
    """

def batch_norm_inference_backward(
    dy: numpy.ndarray,
    x: numpy.ndarray,
    gamma: numpy.ndarray,
    mean: numpy.ndarray,
    var: numpy.ndarray,
    dx: numpy.ndarray,
    dgamma: numpy.ndarray,
    dbeta: numpy.ndarray,
    *,
    eps: float,
) -> None:
    """
    Gradients with mean and var held constant.
    """

def batch_norm_inference_forward(
    x: numpy.ndarray,
    gamma: numpy.ndarray,
    beta: numpy.ndarray,
    mean: numpy.ndarray,
    var: numpy.ndarray,
    y: numpy.ndarray,
    *,
    eps: float,
) -> None:
    """
    y with given statistics.
    """

def conv2d_backward_bias(dy: numpy.ndarray, dbias: numpy.ndarray) -> None:
    """
    Gradient of the bias: the sum over all but the last axis.
    """

def conv2d_backward_input(
    dy: numpy.ndarray,
    weight: numpy.ndarray,
    dx: numpy.ndarray,
    shape: convsmith.ops.shapes.Conv2dShape,
    algorithm: str,
) -> None:
    """
    Gradient of the input.
    """

def conv2d_backward_weight(
    x: numpy.ndarray,
    dy: numpy.ndarray,
    dweight: numpy.ndarray,
    shape: convsmith.ops.shapes.Conv2dShape,
    algorithm: str,
) -> None:
    """
    Gradient of the weight.
    """

def conv2d_forward(
    x: numpy.ndarray,
    weight: numpy.ndarray,
    bias: numpy.ndarray | None,
    residual: numpy.ndarray | None,
    y: numpy.ndarray,
    shape: convsmith.ops.shapes.Conv2dShape,
    activation: str,
    negative_slope: float,
    algorithm: str,
) -> None:
    """
    y = activation(x * weight + bias + residual)
    """

def empty(shape: collections.abc.Sequence[int], dtype: typing.Any) -> numpy.ndarray:
    """
    An uninitialised C-contiguous array in recycled memory.
    """

def gemm(
    a: numpy.ndarray,
    b: numpy.ndarray,
    bias: numpy.ndarray | None,
    residual: numpy.ndarray | None,
    c: numpy.ndarray,
    shape: convsmith.ops.shapes.GemmShape,
    activation: str,
    negative_slope: float,
    alpha: float,
    beta: float,
) -> None:
    """
    c = activation(alpha op(a) op(b) + beta c + bias + residual)
    """

def isa() -> str:
    """
    The instruction set in use: generic, avx2 or avx512.
    """

def local_response_norm_backward(
    dy: numpy.ndarray,
    x: numpy.ndarray,
    dx: numpy.ndarray,
    *,
    size: int,
    alpha: float,
    beta: float,
    k: float,
) -> None:
    """
    dx of local_response_norm_forward.
    """

def local_response_norm_forward(
    x: numpy.ndarray, y: numpy.ndarray, *, size: int, alpha: float, beta: float, k: float
) -> None:
    """
    y = x / (k + alpha / size * sum of x^2 over neighbouring channels)^beta.
    """

def log_softmax_backward(dy: numpy.ndarray, y: numpy.ndarray, dx: numpy.ndarray) -> None:
    """
    dx = dy - exp(y) * sum(dy) over the last axis.
    """

def log_softmax_forward(x: numpy.ndarray, y: numpy.ndarray) -> None:
    """
    y = x - log(sum(exp(x))) over the last axis.
    """

def max_pool2d_backward_input(
    dy: numpy.ndarray,
    argmax: numpy.ndarray,
    dx: numpy.ndarray,
    shape: convsmith.ops.shapes.Pool2dShape,
) -> None:
    """
    dx = dy of the windows that each element won.
    """

def max_pool2d_forward(
    x: numpy.ndarray,
    y: numpy.ndarray,
    argmax: numpy.ndarray | None,
    shape: convsmith.ops.shapes.Pool2dShape,
) -> None:
    """
    y = window maxima; argmax (or None) = kh * kernel_w + kw of the winner.
    """

def num_threads() -> int:
    """
    Threads that a kernel uses.
    """

def set_isa(name: str) -> None:
    """
    Use this instruction set from now on.
    """

def set_num_threads(threads: int) -> None:
    """
    Use this many threads from now on; results do not depend on it.
    """

def set_poison(on: bool) -> None:
    """
    For tests: fill every array from empty() with NaN, so that unwritten outputs show.
    """

def sgd_update(
    param: numpy.ndarray,
    grad: numpy.ndarray,
    velocity: numpy.ndarray | None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """
    One SGD step in place, as torch.optim.SGD with dampening 0.
    """

def softmax_backward(dy: numpy.ndarray, y: numpy.ndarray, dx: numpy.ndarray) -> None:
    """
    dx = y * (dy - sum(dy * y)) over the last axis.
    """

def softmax_cross_entropy(
    logits: numpy.ndarray,
    labels: numpy.ndarray,
    losses: numpy.ndarray,
    dlogits: numpy.ndarray,
    *,
    label_smoothing: float,
    scale: float,
) -> None:
    """
    losses [rows] and dlogits = scale * d(sum of losses) / d(logits).
    """

def softmax_forward(x: numpy.ndarray, y: numpy.ndarray) -> None:
    """
    y = exp(x) / sum(exp(x)) over the last axis.
    """

def upsample_bilinear2d_backward_input(
    dy: numpy.ndarray,
    dx: numpy.ndarray,
    shape: convsmith.ops.shapes.Resample2dShape,
    *,
    align_corners: bool,
) -> None:
    """
    dx = dy weighted as in the forward.
    """

def upsample_bilinear2d_forward(
    x: numpy.ndarray,
    y: numpy.ndarray,
    shape: convsmith.ops.shapes.Resample2dShape,
    *,
    align_corners: bool,
) -> None:
    """
    y = the four neighbours of the source position, weighted.
    """

def upsample_nearest2d_backward_input(
    dy: numpy.ndarray, dx: numpy.ndarray, shape: convsmith.ops.shapes.Resample2dShape
) -> None:
    """
    dx = the sum of dy over the copies of each pixel.
    """

def upsample_nearest2d_forward(
    x: numpy.ndarray, y: numpy.ndarray, shape: convsmith.ops.shapes.Resample2dShape
) -> None:
    """
    y = the pixel at floor(position * in / out).
    """

def yardstick_copy(x: numpy.ndarray, y: numpy.ndarray) -> None:
    """
    y = x on all threads.
    """

def yardstick_multiply_add(rounds: int) -> int:
    """
    Multiply-adds in registers on every thread; returns the number of operations, two each.
    """
