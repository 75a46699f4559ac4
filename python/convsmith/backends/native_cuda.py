"""The CUDA kernels of convsmith._cuda, for CuPy arrays: float32, float16 and bfloat16 storage.

Thin on purpose: every function hands its arguments to the native function of the same name, which
checks the memory, on CuPy's current stream. A call returns once its kernels are enqueued; until
then the caller's arguments are alive, and afterwards CuPy's pool reuses memory in stream order.
Parameters and statistics of BatchNorm and the losses are float32 in the kernels; in 16-bit
storage they are converted here, which costs nothing beside the activations.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convsmith.arrays import Array, Shape
from convsmith.backends import cupy_fallback
from convsmith.backends.table import OPS

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue

NAME = "native_cuda"

_FLOAT32 = np.dtype(np.float32)
_LEAST_CAPABILITY = 80  # asynchronous copies and bfloat16 products
_DTYPES = frozenset(("float32", "float16", "bfloat16"))
# Optimizer state is float32 in the kernels and of the parameter's type in the op.
_FLOAT32_ONLY = frozenset(("sgd_update", "adam_update"))

_cuda: Any = None
_reason: str | None = None
try:
    _cuda = importlib.import_module("convsmith._cuda")
except ModuleNotFoundError as error:
    if error.name == "convsmith._cuda":
        _reason = (
            "the native module convsmith._cuda is not built into this installation; with nvcc on "
            "the PATH, install again with CONVSMITH_CUDA=ON in the environment"
        )
    else:
        _reason = f"the native module convsmith._cuda could not be imported: {error}"
except ImportError as error:
    _reason = f"the native module convsmith._cuda could not be imported: {error}"
_ops = frozenset(op for op in OPS if hasattr(_cuda, op))


@cache
def unavailable_reason() -> str | None:
    """Why the kernels cannot run here: no module, no CuPy, no GPU; looked for once."""
    reason = _reason or cupy_fallback.unavailable_reason()
    if reason:
        return reason
    capability = int(importlib.import_module("cupy").cuda.Device().compute_capability)
    if capability < _LEAST_CAPABILITY:
        got, least = (f"{number // 10}.{number % 10}" for number in (capability, _LEAST_CAPABILITY))
        return f"the GPU has compute capability {got}, and the kernels need {least} (Ampere)"
    return None


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    name = getattr(dtype, "name", dtype)
    if op not in _ops or name not in _DTYPES or unavailable_reason() is not None:
        return False
    return name == "float32" or op not in _FLOAT32_ONLY


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    if not supports(op, dtype, shape):
        return ()
    return tuple(_cuda.algorithms(op, shape, getattr(dtype, "name", dtype)))


def empty(shape: Shape, dtype: Any) -> Array:
    """An uninitialised CuPy array from CuPy's pool, on CuPy's current device."""
    return cupy_fallback.empty(shape, dtype)


def _stream() -> int:
    """CuPy's current stream, as an address."""
    return int(importlib.import_module("cupy").cuda.get_current_stream().ptr)


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
    _cuda.conv2d_forward(
        x,
        weight,
        epilogue.bias,
        epilogue.residual,
        y,
        shape,
        epilogue.activation,
        epilogue.negative_slope,
        algorithm,
        stream=_stream(),
    )


def conv2d_backward_input(
    dy: Array, weight: Array, dx: Array, shape: Any, *, algorithm: str
) -> None:
    _cuda.conv2d_backward_input(dy, weight, dx, shape, algorithm=algorithm, stream=_stream())


def conv2d_backward_weight(
    x: Array, dy: Array, dweight: Array, shape: Any, *, algorithm: str
) -> None:
    _cuda.conv2d_backward_weight(x, dy, dweight, shape, algorithm=algorithm, stream=_stream())


def conv2d_backward_bias(dy: Array, dbias: Array) -> None:
    _cuda.conv2d_backward_bias(dy, dbias, stream=_stream())


def gemm(
    a: Array, b: Array, c: Array, shape: Any, epilogue: Epilogue, *, alpha: float, beta: float
) -> None:
    _cuda.gemm(
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
        stream=_stream(),
    )


def max_pool2d_forward(x: Array, y: Array, argmax: Array | None, shape: Any) -> None:
    _cuda.max_pool2d_forward(x, y, argmax, shape, stream=_stream())


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Any) -> None:
    _cuda.max_pool2d_backward_input(dy, argmax, dx, shape, stream=_stream())


def avg_pool2d_forward(x: Array, y: Array, shape: Any, *, count_include_pad: bool) -> None:
    _cuda.avg_pool2d_forward(x, y, shape, count_include_pad=count_include_pad, stream=_stream())


def avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any, *, count_include_pad: bool) -> None:
    _cuda.avg_pool2d_backward_input(
        dy, dx, shape, count_include_pad=count_include_pad, stream=_stream()
    )


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Any) -> None:
    _cuda.adaptive_avg_pool2d_forward(x, y, shape, stream=_stream())


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _cuda.adaptive_avg_pool2d_backward_input(dy, dx, shape, stream=_stream())


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    written = _float_outputs(mean, var)
    _cuda.batch_norm_forward(x, _float(gamma), _float(beta), y, *written, eps=eps, stream=_stream())
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
    _cuda.batch_norm_backward(dy, x, *known, dx, *written, eps=eps, stream=_stream())
    _store((dgamma, dbeta), written)


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    known = (_float(gamma), _float(beta), _float(mean), _float(var))
    _cuda.batch_norm_inference_forward(x, *known, y, eps=eps, stream=_stream())


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
    _cuda.batch_norm_inference_backward(dy, x, *known, dx, *written, eps=eps, stream=_stream())
    _store((dgamma, dbeta), written)


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _cuda.local_response_norm_forward(
        x, y, size=size, alpha=alpha, beta=beta, k=k, stream=_stream()
    )


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    _cuda.local_response_norm_backward(
        dy, x, dx, size=size, alpha=alpha, beta=beta, k=k, stream=_stream()
    )


def activation_forward(x: Array, y: Array, *, kind: str, negative_slope: float) -> None:
    _cuda.activation_forward(x, y, kind=kind, negative_slope=negative_slope, stream=_stream())


def activation_backward(
    dy: Array, saved: Array, dx: Array, *, kind: str, negative_slope: float
) -> None:
    _cuda.activation_backward(
        dy, saved, dx, kind=kind, negative_slope=negative_slope, stream=_stream()
    )


def add(a: Array, b: Array, y: Array) -> None:
    _cuda.add(a, b, y, stream=_stream())


def softmax_forward(x: Array, y: Array) -> None:
    _cuda.softmax_forward(x, y, stream=_stream())


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _cuda.softmax_backward(dy, y, dx, stream=_stream())


def log_softmax_forward(x: Array, y: Array) -> None:
    _cuda.log_softmax_forward(x, y, stream=_stream())


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    _cuda.log_softmax_backward(dy, y, dx, stream=_stream())


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
    _cuda.softmax_cross_entropy(
        logits,
        labels,
        *written,
        dlogits,
        label_smoothing=label_smoothing,
        scale=scale,
        stream=_stream(),
    )
    _store((losses,), written)


def upsample_nearest2d_forward(x: Array, y: Array, shape: Any) -> None:
    _cuda.upsample_nearest2d_forward(x, y, shape, stream=_stream())


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Any) -> None:
    _cuda.upsample_nearest2d_backward_input(dy, dx, shape, stream=_stream())


def upsample_bilinear2d_forward(x: Array, y: Array, shape: Any, *, align_corners: bool) -> None:
    _cuda.upsample_bilinear2d_forward(x, y, shape, align_corners=align_corners, stream=_stream())


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Any, *, align_corners: bool
) -> None:
    _cuda.upsample_bilinear2d_backward_input(
        dy, dx, shape, align_corners=align_corners, stream=_stream()
    )


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
    _cuda.sgd_update(
        param,
        grad,
        velocity,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
        stream=_stream(),
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
    _cuda.adam_update(
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
        stream=_stream(),
    )
