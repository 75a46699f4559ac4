"""The C++ kernels of convsmith._cpu: float32 on the CPU.

Thin on purpose: every function hands its arguments to the native function of the same name, which
checks the memory. The table imports this file when it first chooses a backend; a native module
that is missing or broken is remembered as the reason, and the next backend of the row takes over.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from convsmith.arrays import Array, Shape
from convsmith.backends.table import OPS

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue

NAME = "native_cpu"

_FLOAT32 = np.dtype(np.float32)

_cpu: Any = None
_reason: str | None = None
try:
    _cpu = importlib.import_module("convsmith._cpu")
except ImportError as error:
    _reason = f"the native module convsmith._cpu could not be imported: {error}"
_ops = frozenset(op for op in OPS if hasattr(_cpu, op))


def unavailable_reason() -> str | None:
    return _reason


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    return bool(dtype == _FLOAT32) and op in _ops


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    return tuple(_cpu.algorithms(op, shape)) if supports(op, dtype, shape) else ()


def empty(shape: Shape, dtype: Any) -> Array:
    """An uninitialised array from the arena, whose memory is recycled once the array is gone."""
    return _cpu.empty(shape, dtype)


def conv2d_forward(
    x: Array, weight: Array, y: Array, shape: Any, epilogue: Epilogue, *, algorithm: str
) -> None:
    _cpu.conv2d_forward(
        x,
        weight,
        epilogue.bias,
        epilogue.residual,
        y,
        shape,
        epilogue.activation,
        epilogue.negative_slope,
        algorithm,
    )


def conv2d_backward_input(
    dy: Array, weight: Array, dx: Array, shape: Any, *, algorithm: str
) -> None:
    _cpu.conv2d_backward_input(dy, weight, dx, shape, algorithm=algorithm)


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Any, *, algorithm: str
) -> None:
    _cpu.conv2d_backward_weight(x, dy, dweight, shape, algorithm=algorithm)


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    _cpu.conv2d_backward_bias(dy, dbias)


def gemm(
    a: Array, b: Array, c: Array, shape: Any, epilogue: Epilogue, *, alpha: float, beta: float
) -> None:
    _cpu.gemm(
        a,
        b,
        epilogue.bias,
        epilogue.residual,
        c,
        shape,
        epilogue.activation,
        epilogue.negative_slope,
        alpha,
        beta,
    )


def max_pool2d_forward(x: Array, y: Array, argmax: Array | None, shape: Any) -> None:
    _cpu.max_pool2d_forward(x, y, argmax, shape)


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Any) -> None:
    _cpu.max_pool2d_backward_input(dy, argmax, dx, shape)


def avg_pool2d_forward(x: Array, y: Array, shape: Any, *, count_include_pad: bool) -> None:
    _cpu.avg_pool2d_forward(x, y, shape, count_include_pad=count_include_pad)


def avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any, *, count_include_pad: bool) -> None:
    _cpu.avg_pool2d_backward_input(dy, dx, shape, count_include_pad=count_include_pad)


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Any) -> None:
    _cpu.adaptive_avg_pool2d_forward(x, y, shape)


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _cpu.adaptive_avg_pool2d_backward_input(dy, dx, shape)


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    _cpu.batch_norm_forward(x, gamma, beta, y, mean, var, eps=eps)


def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    _cpu.batch_norm_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps=eps)


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    _cpu.batch_norm_inference_forward(x, gamma, beta, mean, var, y, eps=eps)


def batch_norm_inference_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    _cpu.batch_norm_inference_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps=eps)


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _cpu.local_response_norm_forward(x, y, size=size, alpha=alpha, beta=beta, k=k)


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _cpu.local_response_norm_backward(dy, x, dx, size=size, alpha=alpha, beta=beta, k=k)


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float) -> None:
    _cpu.activation_forward(x, y, kind=kind, negative_slope=negative_slope)


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float
) -> None:
    _cpu.activation_backward(dy, saved, dx, kind=kind, negative_slope=negative_slope)


def add(a: Array, b: Array, y: Array) -> None:
    _cpu.add(a, b, y)


def softmax_forward(x: Array, y: Array) -> None:
    _cpu.softmax_forward(x, y)


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _cpu.softmax_backward(dy, y, dx)


def log_softmax_forward(x: Array, y: Array) -> None:
    _cpu.log_softmax_forward(x, y)


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _cpu.log_softmax_backward(dy, y, dx)


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    losses: Array,
    dlogits: Array,
    *,
    label_smoothing: float,
    scale: float,
) -> None:
    _cpu.softmax_cross_entropy(
        logits, labels, losses, dlogits, label_smoothing=label_smoothing, scale=scale
    )


def upsample_nearest2d_forward(x: Array, y: Array, shape: Any) -> None:
    _cpu.upsample_nearest2d_forward(x, y, shape)


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _cpu.upsample_nearest2d_backward_input(dy, dx, shape)


def upsample_bilinear2d_forward(x: Array, y: Array, shape: Any, *, align_corners: bool) -> None:
    _cpu.upsample_bilinear2d_forward(x, y, shape, align_corners=align_corners)


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Any, *, align_corners: bool
) -> None:
    _cpu.upsample_bilinear2d_backward_input(dy, dx, shape, align_corners=align_corners)


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    _cpu.sgd_update(
        param,
        grad,
        velocity,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )


def adam_update(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    _cpu.adam_update(
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        step=step,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=decoupled,
    )
