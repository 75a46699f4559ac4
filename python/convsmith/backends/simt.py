"""The CUDA kernels, run thread by thread on the CPU by convsmith._simt, for NumPy arrays.

For tests and for writing kernels: some thousand times slower than a GPU, but every barrier, warp
operation and memory access is checked, and a fault is a SimtError that names the kernel, the
thread and the line. Never chosen by itself: use_backend("simt"), `convsmith check --backend simt`.
float32, float16 and bfloat16 (the dtype of the package ml_dtypes) storage; parameters and
statistics of BatchNorm and the losses are float32 in the kernels and converted here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from convsmith.arrays import Array, Shape
from convsmith.backends.table import OPS

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue

NAME = "simt"

_FLOAT32 = np.dtype(np.float32)
_DTYPES = frozenset(("float32", "float16", "bfloat16"))
# Optimizer state is float32 in the kernels and of the parameter's type in the op.
_FLOAT32_ONLY = frozenset(("sgd_update", "adam_update"))
POLICIES = ("round_robin", "skew", "random")

_simt: Any = None
_reason: str | None = None
try:
    _simt = importlib.import_module("convsmith._simt")
except ImportError as error:
    _reason = f"the native module convsmith._simt could not be imported: {error}"
_ops = frozenset(op for op in OPS if hasattr(_simt, op))


def unavailable_reason() -> str | None:
    return _reason


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    name = getattr(dtype, "name", dtype)
    if op not in _ops or name not in _DTYPES:
        return False
    return name == "float32" or op not in _FLOAT32_ONLY


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    if not supports(op, dtype, shape):
        return ()
    return tuple(_simt.algorithms(op, shape, getattr(dtype, "name", dtype)))


@contextmanager
def schedule(policy: str, seed: int = 0) -> Iterator[None]:
    """Runs kernels in this order of threads for the duration; a right kernel gives the same bits.

    policy: round_robin; skew, where one warp runs as far ahead as it can; or random. An odd seed
    also runs the blocks last to first (random: in a random order). Raises ValueError for another
    policy. Not per thread: it holds for the whole process.
    """
    before = _simt.schedule()
    _simt.set_schedule(policy, seed)
    try:
        yield
    finally:
        _simt.set_schedule(*before)


def empty(shape: Shape, dtype: Any) -> Array:
    """An array of NaN (integers: -1 or the largest), so that an element left unwritten shows."""
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = 0xFF
    return array


def _float(array: Array) -> Array:
    return array.astype(_FLOAT32, copy=False)


def _float_outputs(*outputs: Array) -> tuple[Array, ...]:
    """Where the kernel writes: the outputs themselves, or float32 arrays of their shapes."""
    return tuple(
        output if output.dtype == _FLOAT32 else empty(output.shape, _FLOAT32) for output in outputs
    )


def _store(outputs: tuple[Array, ...], written: tuple[Array, ...]) -> None:
    for output, values in zip(outputs, written, strict=True):
        if values is not output:
            output[...] = values


def conv2d_forward(
    x: Array, weight: Array, y: Array, shape: Any, epilogue: Epilogue, *, algorithm: str
) -> None:
    _simt.conv2d_forward(
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
    _simt.conv2d_backward_input(dy, weight, dx, shape, algorithm=algorithm)


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Any, *, algorithm: str
) -> None:
    _simt.conv2d_backward_weight(x, dy, dweight, shape, algorithm=algorithm)


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    _simt.conv2d_backward_bias(dy, dbias)


def gemm(
    a: Array, b: Array, c: Array, shape: Any, epilogue: Epilogue, *, alpha: float, beta: float
) -> None:
    _simt.gemm(
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
    _simt.max_pool2d_forward(x, y, argmax, shape)


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Any) -> None:
    _simt.max_pool2d_backward_input(dy, argmax, dx, shape)


def avg_pool2d_forward(x: Array, y: Array, shape: Any, *, count_include_pad: bool) -> None:
    _simt.avg_pool2d_forward(x, y, shape, count_include_pad=count_include_pad)


def avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any, *, count_include_pad: bool) -> None:
    _simt.avg_pool2d_backward_input(dy, dx, shape, count_include_pad=count_include_pad)


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Any) -> None:
    _simt.adaptive_avg_pool2d_forward(x, y, shape)


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _simt.adaptive_avg_pool2d_backward_input(dy, dx, shape)


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    written = _float_outputs(mean, var)
    _simt.batch_norm_forward(x, _float(gamma), _float(beta), y, *written, eps=eps)
    _store((mean, var), written)


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
    known = (_float(gamma), _float(mean), _float(var))
    written = _float_outputs(dgamma, dbeta)
    _simt.batch_norm_backward(dy, x, *known, dx, *written, eps=eps)
    _store((dgamma, dbeta), written)


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    known = (_float(gamma), _float(beta), _float(mean), _float(var))
    _simt.batch_norm_inference_forward(x, *known, y, eps=eps)


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
    known = (_float(gamma), _float(mean), _float(var))
    written = _float_outputs(dgamma, dbeta)
    _simt.batch_norm_inference_backward(dy, x, *known, dx, *written, eps=eps)
    _store((dgamma, dbeta), written)


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _simt.local_response_norm_forward(x, y, size=size, alpha=alpha, beta=beta, k=k)


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _simt.local_response_norm_backward(dy, x, dx, size=size, alpha=alpha, beta=beta, k=k)


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float) -> None:
    _simt.activation_forward(x, y, kind=kind, negative_slope=negative_slope)


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float
) -> None:
    _simt.activation_backward(dy, saved, dx, kind=kind, negative_slope=negative_slope)


def add(a: Array, b: Array, y: Array) -> None:
    _simt.add(a, b, y)


def softmax_forward(x: Array, y: Array) -> None:
    _simt.softmax_forward(x, y)


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _simt.softmax_backward(dy, y, dx)


def log_softmax_forward(x: Array, y: Array) -> None:
    _simt.log_softmax_forward(x, y)


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _simt.log_softmax_backward(dy, y, dx)


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    losses: Array,
    dlogits: Array,
    *,
    label_smoothing: float,
    scale: float,
) -> None:
    written = _float_outputs(losses)
    _simt.softmax_cross_entropy(
        logits,
        labels,
        *written,
        dlogits,
        label_smoothing=label_smoothing,
        scale=scale,
    )
    _store((losses,), written)


def upsample_nearest2d_forward(x: Array, y: Array, shape: Any) -> None:
    _simt.upsample_nearest2d_forward(x, y, shape)


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _simt.upsample_nearest2d_backward_input(dy, dx, shape)


def upsample_bilinear2d_forward(x: Array, y: Array, shape: Any, *, align_corners: bool) -> None:
    _simt.upsample_bilinear2d_forward(x, y, shape, align_corners=align_corners)


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Any, *, align_corners: bool
) -> None:
    _simt.upsample_bilinear2d_backward_input(dy, dx, shape, align_corners=align_corners)


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
    _simt.sgd_update(
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
    _simt.adam_update(
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
