"""The reference backend: what every other backend is measured against.

Plain NumPy, one naive algorithm per op, written from the definitions. All arithmetic is in
float64 whatever the storage type (float16, float32 or float64); results are rounded once, when
they are stored. It supports every op, so it is the last entry of its row in the dispatch table.

Functions fill the outputs the caller allocated and return None; they never read an output
before writing it (except where the op is defined in place: gemm's ``c`` with ``beta != 0`` and
the optimizer updates).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convsmith.backends.reference.activation import activation_backward, activation_forward, add
from convsmith.backends.reference.conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from convsmith.backends.reference.gemm import gemm
from convsmith.backends.reference.norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
    local_response_norm_backward,
    local_response_norm_forward,
)
from convsmith.backends.reference.optimizer import adam_update, sgd_update
from convsmith.backends.reference.pool2d import (
    adaptive_avg_pool2d_backward_input,
    adaptive_avg_pool2d_forward,
    avg_pool2d_backward_input,
    avg_pool2d_forward,
    max_pool2d_backward_input,
    max_pool2d_forward,
)
from convsmith.backends.reference.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_cross_entropy,
    softmax_forward,
)
from convsmith.backends.reference.upsample2d import (
    upsample_bilinear2d_backward_input,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward_input,
    upsample_nearest2d_forward,
)
from convsmith.backends.table import OPS

NAME = "reference"

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

_DTYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def unavailable_reason() -> str | None:
    """None: NumPy is a hard dependency, so the reference is always there."""
    return None


def empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised, C-contiguous NumPy array for an op's output."""
    return np.empty(shape, dtype)


def supports(op: str, dtype: npt.DTypeLike, shape: object = None) -> bool:
    """Whether this backend computes `op` on `dtype`: every op, in float16, float32 and float64."""
    return op in OPS and np.dtype(dtype) in _DTYPES


def algorithms(op: str, dtype: npt.DTypeLike, shape: object = None) -> tuple[str, ...]:
    """The names `algorithm=` accepts for `op`; empty where `op` is not supported."""
    return ("direct",) if supports(op, dtype, shape) else ()
