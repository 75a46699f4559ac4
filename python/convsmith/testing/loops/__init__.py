"""A second opinion on the reference backend: every op as plain Python loops over numbers.

The reference is what the other backends are measured against, so it cannot be measured against
itself. These functions have a backend's signatures and share nothing with it: no slices, no
matrix products, no broadcasting, one number at a time, straight from the definitions. They are
far too slow for anything but the smallest cases.
"""

from __future__ import annotations

from convsmith.testing.loops.pointwise import (
    activation_backward,
    activation_forward,
    adam_update,
    add,
    sgd_update,
)
from convsmith.testing.loops.rows import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
    local_response_norm_backward,
    local_response_norm_forward,
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_cross_entropy,
    softmax_forward,
)
from convsmith.testing.loops.sums import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
    gemm,
)
from convsmith.testing.loops.windows import (
    adaptive_avg_pool2d_backward_input,
    adaptive_avg_pool2d_forward,
    avg_pool2d_backward_input,
    avg_pool2d_forward,
    max_pool2d_backward_input,
    max_pool2d_forward,
    upsample_bilinear2d_backward_input,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward_input,
    upsample_nearest2d_forward,
)

NAME = "loops"

__all__ = [
    "NAME",
    "activation_backward",
    "activation_forward",
    "adam_update",
    "adaptive_avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "add",
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
    "upsample_bilinear2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_nearest2d_forward",
]
