"""NumPy's side: what its user would write, for the ops that take a line or two."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from convsmith.bench.work import LIMITS, Call, Contender, Inputs, Work, as_tuple, to_numpy
from convsmith.machine import usable_cpus


def unavailable_reason() -> str:
    return ""


def describe() -> dict[str, Any]:
    return {"numpy": np.__version__}


def set_threads(threads: int) -> None:
    """Of NumPy's BLAS. Raises RuntimeError where that cannot be done."""
    try:
        importlib.import_module("threadpoolctl").threadpool_limits(threads, "blas")
    except ImportError as error:
        if threads != usable_cpus():
            raise RuntimeError(
                f"--against numpy: --threads: got {threads}, which NumPy's BLAS cannot be told "
                f"without the package threadpoolctl; install it or use {usable_cpus()}"
            ) from error


def _gemm(work: Work, a: Any, b: Any) -> Any:
    return (a.T if work.shape.transpose_a else a) @ (b.T if work.shape.transpose_b else b)


def _conv(work: Work, x: Any, weight: Any) -> Any:
    """Windows as rows of a matrix (im2col), one product."""
    s = work.shape
    padded = np.pad(x, ((0, 0), (s.pad_top, s.pad_bottom), (s.pad_left, s.pad_right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (s.kernel_h, s.kernel_w), axis=(1, 2)
    )[:, :: s.stride_h, :: s.stride_w]
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, s.kernel_h * s.kernel_w * s.in_c)
    return (rows @ weight.reshape(s.out_c, -1).T).reshape(s.y_shape)


_OPS: dict[str, Callable[..., Any]] = {
    "gemm": _gemm,
    "add": lambda work, a, b: a + b,
    "activation_forward": lambda work, x: np.maximum(x, 0),
    "activation_backward": lambda work, dy, y: dy * (y > 0),
    "conv2d_forward": _conv,
}


def contenders(work: Work, dtype: str, on_gpu: bool) -> list[Contender]:
    if on_gpu or dtype == "bfloat16" or work.op not in _OPS:
        return []
    if work.op == "conv2d_forward" and (
        work.shape.groups > 1 or (work.shape.dilation_h, work.shape.dilation_w) != (1, 1)
    ):
        return []

    def bind(inputs: Inputs) -> Call:
        return partial(_OPS[work.op], work, *inputs)

    return [
        Contender(
            "numpy",
            bind,
            lambda found: tuple(map(to_numpy, as_tuple(found))),
            LIMITS[dtype],
            "numpy",
        )
    ]
