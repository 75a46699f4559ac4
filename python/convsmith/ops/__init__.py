"""Ops: check the arguments, choose a backend, allocate the outputs, have the backend fill them."""

from __future__ import annotations

from convsmith.ops.activation import activation_backward, activation_forward, saves_input
from convsmith.ops.conv2d import (
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
)
from convsmith.ops.elementwise import add
from convsmith.ops.epilogue import ACTIVATIONS, NO_EPILOGUE, Epilogue
from convsmith.ops.gemm import gemm
from convsmith.ops.layout import to_nchw, to_nhwc
from convsmith.ops.norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
    local_response_norm_backward,
    local_response_norm_forward,
)
from convsmith.ops.optimizer import adam_update, sgd_update
from convsmith.ops.pool2d import (
    adaptive_avg_pool2d_backward_input,
    adaptive_avg_pool2d_forward,
    argmax_dtype,
    avg_pool2d_backward_input,
    avg_pool2d_forward,
    max_pool2d_backward_input,
    max_pool2d_forward,
)
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape, Resample2dShape
from convsmith.ops.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_cross_entropy,
    softmax_forward,
)
from convsmith.ops.upsample2d import (
    upsample_bilinear2d_backward_input,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward_input,
    upsample_nearest2d_forward,
)

__all__ = [
    "ACTIVATIONS",
    "NO_EPILOGUE",
    "Conv2dShape",
    "Epilogue",
    "GemmShape",
    "Pool2dShape",
    "Resample2dShape",
    "activation_backward",
    "activation_forward",
    "adam_update",
    "adaptive_avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "add",
    "argmax_dtype",
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
    "saves_input",
    "sgd_update",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_forward",
    "to_nchw",
    "to_nhwc",
    "upsample_bilinear2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_nearest2d_forward",
]
