"""Convolution kernels in C++ and CUDA under a thin layer API for NumPy and CuPy arrays.

The functions here take arrays and return arrays. convsmith.ops holds every op with its backward
directions, convsmith.nn the layers, convsmith.optim and convsmith.train what trains them; those
subpackages are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from convsmith.backends.table import available_backends, use_backend, which_backend
from convsmith.ops.front import (
    adaptive_avg_pool2d,
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    hardswish,
    leaky_relu,
    log_softmax,
    matmul,
    max_pool2d,
    relu,
    sigmoid,
    silu,
    softmax,
    tanh,
    upsample_bilinear2d,
    upsample_nearest2d,
)
from convsmith.ops.layout import to_nchw, to_nhwc
from convsmith.random import seed

if TYPE_CHECKING:
    from convsmith.workbench import register_kernel

    __version__: str

__all__ = [
    "__version__",
    "adaptive_avg_pool2d",
    "available_backends",
    "avg_pool2d",
    "conv2d",
    "conv_transpose2d",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "register_kernel",
    "relu",
    "seed",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
    "to_nchw",
    "to_nhwc",
    "upsample_bilinear2d",
    "upsample_nearest2d",
    "use_backend",
    "which_backend",
]

_LAZY = ("bench", "cli", "data", "io", "models", "nn", "optim", "testing", "train", "workbench")


def __getattr__(name: str) -> Any:
    if name == "register_kernel":
        from convsmith.workbench import register_kernel

        return register_kernel
    if name in _LAZY:
        full_name = f"convsmith.{name}"
        try:
            return importlib.import_module(full_name)
        except ModuleNotFoundError as error:
            if error.name != full_name:  # a dependency of it is missing: say so
                raise
    if name == "__version__":
        from importlib import metadata

        try:
            version = metadata.version("convsmith")
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            version = "0+unknown"
        globals()[name] = version
        return version
    raise AttributeError(f"module 'convsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "__version__", "register_kernel"})
