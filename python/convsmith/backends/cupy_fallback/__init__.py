"""CuPy's own array operations: what runs on the GPU where the native module has no kernel.

Written against the array module of its arguments, which is CuPy in use and NumPy in tests, so
that every line is tested without a GPU. Everything stays on the device of the arrays; nothing is
read back by the host. Sums are in float32 at least, in a fixed order: gradients of overlapping
windows are added tap by tap, never by atomic operations. Storage is float16, bfloat16, float32 or
float64; arithmetic is float32, or float64 for float64.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from convsmith.arrays import Array, Shape
from convsmith.backends.cupy_fallback.conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from convsmith.backends.cupy_fallback.gemm import gemm
from convsmith.backends.cupy_fallback.norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
    local_response_norm_backward,
    local_response_norm_forward,
)
from convsmith.backends.cupy_fallback.optimizer import adam_update, sgd_update
from convsmith.backends.cupy_fallback.pointwise import activation_backward, activation_forward, add
from convsmith.backends.cupy_fallback.pool2d import (
    avg_pool2d_backward_input,
    avg_pool2d_forward,
    max_pool2d_backward_input,
    max_pool2d_forward,
)
from convsmith.backends.cupy_fallback.resample import (
    adaptive_avg_pool2d_backward_input,
    adaptive_avg_pool2d_forward,
    upsample_bilinear2d_backward_input,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward_input,
    upsample_nearest2d_forward,
)
from convsmith.backends.cupy_fallback.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_cross_entropy,
    softmax_forward,
)
from convsmith.backends.table import OPS

NAME = "cupy_fallback"

__all__ = [
    "NAME",
    "activation_backward",
    "activation_forward",
    "adam_update",
    "adaptive_avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "add",
    "algorithms",
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
    "local_response_norm_backward",
    "local_response_norm_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "max_pool2d_backward_input",
    "max_pool2d_forward",
    "sgd_update",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_forward",
    "supports",
    "unavailable_reason",
    "upsample_bilinear2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_nearest2d_forward",
]

_DTYPES = frozenset(("float16", "bfloat16", "float32", "float64"))
_CHOOSES_ALGORITHM = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


@cache
def unavailable_reason() -> str | None:
    """Why CuPy cannot work here; looked for once. Imports CuPy."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        wanted = "install it with pip install 'convsmith[cuda13]', or cuda12 for an older driver"
        return f"CuPy cannot be imported ({error}); {wanted}"
    except Exception as error:  # a CuPy that does not fit the system raises what it likes
        return f"CuPy fails to import: {type(error).__name__}: {error}"
    try:
        if cupy.cuda.is_available():
            return None
    except Exception as error:
        return f"CuPy finds no GPU: {type(error).__name__}: {error}"
    return "CuPy is installed but finds no GPU: no NVIDIA driver, or no GPU that it may use"


def empty(shape: Shape, dtype: Any) -> Array:
    """An uninitialised CuPy array from CuPy's pool, on CuPy's current device."""
    return importlib.import_module("cupy").empty(shape, dtype)


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    return op in OPS and getattr(dtype, "name", dtype) in _DTYPES


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    chooses = op in _CHOOSES_ALGORITHM and supports(op, dtype, shape)
    return ("im2col",) if chooses else ()
