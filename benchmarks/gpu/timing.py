"""Device times by events with a cold L2 cache, and what the memory-bound ops make of the memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cupy

from convsmith.arrays import float_dtype
from convsmith.backends import native_cuda
from convsmith.bench.timing import EventClock, Samples
from convsmith.ops.epilogue import NO_EPILOGUE
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape, Resample2dShape

_clock: EventClock | None = None


def time_ms(run: Callable[[], Any], repeats: int = 15, warmups: int = 3) -> float:
    """The median device time of a call on the default stream, each with a cold L2 cache."""
    global _clock
    _clock = _clock or EventClock()
    for _ in range(warmups):
        run()
    samples = Samples()
    for _ in range(repeats):
        _clock.time(run, samples)
    return float(statistics.median(samples.ms))


def copy_bandwidth(item: str) -> dict[str, Any]:
    """Bytes read and written per second by a device-to-device copy of so many MiB."""
    size = int(item.split()[0]) << 20
    source, target = cupy.ones(size, cupy.uint8), cupy.empty(size, cupy.uint8)
    ms = time_ms(lambda: cupy.copyto(target, source))
    return {"ms": ms, "gb_per_s": 2 * size / ms / 1e6}


@dataclass(frozen=True)
class Work:
    """A call of a backend function, and the bytes that it cannot avoid to move."""

    run: Callable[[], Any]
    bytes: int
    macs: int = 0


def time_op(item: str) -> dict[str, Any]:
    """'OP DTYPE' at a size that fills a large GPU several times over."""
    op, _, dtype_name = item.partition(" ")
    dtype = float_dtype(dtype_name)
    if not native_cuda.supports(op, dtype):
        return {"ok": False, "error": f"native_cuda does not support {dtype_name}"}
    work = MAKERS[op](op, dtype)
    ms = time_ms(work.run)
    found: dict[str, Any] = {"ms": ms, "gb_per_s": work.bytes / ms / 1e6}
    if work.macs:
        found["tflop_per_s"] = 2 * work.macs / ms / 1e9
    return found


def random(shape: tuple[int, ...], dtype: Any) -> Any:
    """Normal numbers on the GPU; never zeros, which draw less power and time faster."""
    return cupy.random.standard_normal(shape, dtype=cupy.float32).astype(dtype)


def _total_bytes(*arrays: Any) -> int:
    return sum(array.nbytes for array in arrays if array is not None)


# A large GPU's L2 cache several times over. Tests make them small.
BATCH = 64
GEMM_SIZE = 4096
ROWS = 1 << 15
PARAMETERS = 1 << 25


def _plane() -> tuple[int, int, int, int]:
    return (BATCH, 56, 56, 256)


def _conv(op: str, dtype: Any) -> Work:
    shape = Conv2dShape.infer((BATCH, 28, 28, 128), (128, 3, 3, 128), padding=1)
    x, weight, dy = (random(s, dtype) for s in (shape.x_shape, shape.weight_shape, shape.y_shape))
    out = cupy.empty_like({"forward": dy, "input": x, "weight": weight}[op.rpartition("_")[2]])
    calls = {
        "conv2d_forward": lambda: native_cuda.conv2d_forward(
            x, weight, out, shape, NO_EPILOGUE, algorithm="auto"
        ),
        "conv2d_backward_input": lambda: native_cuda.conv2d_backward_input(
            dy, weight, out, shape, algorithm="auto"
        ),
        "conv2d_backward_weight": lambda: native_cuda.conv2d_backward_weight(
            x, dy, out, shape, algorithm="auto"
        ),
    }
    return Work(calls[op], _total_bytes(x, weight, dy), shape.macs)


def _bias(op: str, dtype: Any) -> Work:
    dy, dbias = random(_plane(), dtype), cupy.empty(_plane()[-1], dtype)
    return Work(lambda: native_cuda.conv2d_backward_bias(dy, dbias), dy.nbytes)


def _gemm(op: str, dtype: Any) -> Work:
    size = GEMM_SIZE
    a, b = random((size, size), dtype), random((size, size), dtype)
    c, shape = cupy.empty_like(a), GemmShape.infer(a.shape, b.shape)
    run = lambda: native_cuda.gemm(a, b, c, shape, NO_EPILOGUE, alpha=1.0, beta=0.0)  # noqa: E731
    return Work(run, 3 * a.nbytes, shape.macs)


def _max_pool(op: str, dtype: Any) -> Work:
    shape = Pool2dShape.infer((BATCH, 112, 112, 64), kernel=3, stride=2, padding=1)
    x, y = random(shape.x_shape, dtype), cupy.empty(shape.y_shape, dtype)
    argmax = cupy.empty(shape.y_shape, cupy.uint8)
    native_cuda.max_pool2d_forward(x, y, argmax, shape)
    moved = _total_bytes(x, y, argmax)
    if op == "max_pool2d_forward":
        return Work(lambda: native_cuda.max_pool2d_forward(x, y, argmax, shape), moved)
    return Work(lambda: native_cuda.max_pool2d_backward_input(y, argmax, x, shape), moved)


def _avg_pool(op: str, dtype: Any) -> Work:
    shape = Pool2dShape.infer(_plane(), kernel=2)
    x, y = random(shape.x_shape, dtype), random(shape.y_shape, dtype)
    function = getattr(native_cuda, op)
    pair = (x, y) if op.endswith("forward") else (y, x)
    return Work(lambda: function(*pair, shape, count_include_pad=True), _total_bytes(x, y))


def _resample(op: str, dtype: Any) -> Work:
    size = (1, 1) if op.startswith("adaptive") else (112, 112)
    plane = _plane() if op.startswith("adaptive") else (BATCH, 56, 56, 64)
    shape = Resample2dShape.infer(plane, size)
    x, y = random(shape.x_shape, dtype), random(shape.y_shape, dtype)
    function = getattr(native_cuda, op)
    pair = (x, y) if op.endswith("forward") else (y, x)
    keywords = {"align_corners": False} if "bilinear" in op else {}
    return Work(lambda: function(*pair, shape, **keywords), _total_bytes(x, y))


def _batch_norm(op: str, dtype: Any) -> Work:
    x, dy, out = random(_plane(), dtype), random(_plane(), dtype), cupy.empty(_plane(), dtype)
    gamma, beta, mean, var, first, second = (
        cupy.ones(_plane()[-1], cupy.float32) for _ in range(6)
    )
    function, eps = getattr(native_cuda, op), 1e-5
    calls: dict[str, Callable[[], Any]] = {
        "batch_norm_forward": lambda: function(x, gamma, beta, out, first, second, eps=eps),
        "batch_norm_inference_forward": lambda: function(x, gamma, beta, mean, var, out, eps=eps),
    }
    backward = lambda: function(dy, x, gamma, mean, var, out, first, second, eps=eps)  # noqa: E731
    # Training reads its inputs twice: the statistics first.
    passes = {"batch_norm_forward": 3, "batch_norm_inference_forward": 2}
    return Work(calls.get(op, backward), passes.get(op, 5) * x.nbytes)


def _local(op: str, dtype: Any) -> Work:
    x, dy, out = random(_plane(), dtype), random(_plane(), dtype), cupy.empty(_plane(), dtype)
    function, values = getattr(native_cuda, op), {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    inputs = (x,) if op.endswith("forward") else (dy, x)
    return Work(lambda: function(*inputs, out, **values), (len(inputs) + 1) * x.nbytes)


def _activation(op: str, dtype: Any) -> Work:
    x, dy, out = random(_plane(), dtype), random(_plane(), dtype), cupy.empty(_plane(), dtype)
    function = getattr(native_cuda, op)
    inputs = (x,) if op.endswith("forward") else (dy, x)
    run = lambda: function(*inputs, out, kind="relu", negative_slope=0.01)  # noqa: E731
    return Work(run, (len(inputs) + 1) * x.nbytes)


def _add(op: str, dtype: Any) -> Work:
    a, b, y = random(_plane(), dtype), random(_plane(), dtype), cupy.empty(_plane(), dtype)
    return Work(lambda: native_cuda.add(a, b, y), 3 * a.nbytes)


def _softmax(op: str, dtype: Any) -> Work:
    size = (ROWS, 1000)
    x, dy, out = random(size, dtype), random(size, dtype), cupy.empty(size, dtype)
    if op == "softmax_cross_entropy":
        labels = cupy.random.randint(0, size[1], size[0], dtype=cupy.int64)
        losses = cupy.empty(size[0], cupy.float32)
        run = lambda: native_cuda.softmax_cross_entropy(  # noqa: E731
            x, labels, losses, out, label_smoothing=0.0, scale=1.0
        )
        return Work(run, 2 * x.nbytes)
    function = getattr(native_cuda, op)
    inputs = (x,) if op.endswith("forward") else (dy, x)
    return Work(lambda: function(*inputs, out), (len(inputs) + 1) * x.nbytes)


def _update(op: str, dtype: Any) -> Work:
    size = (PARAMETERS,)
    param, grad, first, second = (random(size, dtype) for _ in range(4))
    second = cupy.abs(second)
    if op == "sgd_update":
        run = lambda: native_cuda.sgd_update(  # noqa: E731
            param, grad, first, lr=1e-3, momentum=0.9, weight_decay=0.0, nesterov=False
        )
        return Work(run, 5 * param.nbytes)
    run = lambda: native_cuda.adam_update(  # noqa: E731
        *(param, grad, first, second),
        step=10,
        lr=1e-3,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=0.0,
        decoupled=False,
    )
    return Work(run, 7 * param.nbytes)


MAKERS: dict[str, Callable[[str, Any], Work]] = {
    "conv2d_forward": _conv,
    "conv2d_backward_input": _conv,
    "conv2d_backward_weight": _conv,
    "conv2d_backward_bias": _bias,
    "gemm": _gemm,
    "max_pool2d_forward": _max_pool,
    "max_pool2d_backward_input": _max_pool,
    "avg_pool2d_forward": _avg_pool,
    "avg_pool2d_backward_input": _avg_pool,
    "adaptive_avg_pool2d_forward": _resample,
    "adaptive_avg_pool2d_backward_input": _resample,
    "batch_norm_forward": _batch_norm,
    "batch_norm_backward": _batch_norm,
    "batch_norm_inference_forward": _batch_norm,
    "batch_norm_inference_backward": _batch_norm,
    "local_response_norm_forward": _local,
    "local_response_norm_backward": _local,
    "activation_forward": _activation,
    "activation_backward": _activation,
    "add": _add,
    "softmax_forward": _softmax,
    "softmax_backward": _softmax,
    "log_softmax_forward": _softmax,
    "log_softmax_backward": _softmax,
    "softmax_cross_entropy": _softmax,
    "upsample_nearest2d_forward": _resample,
    "upsample_nearest2d_backward_input": _resample,
    "upsample_bilinear2d_forward": _resample,
    "upsample_bilinear2d_backward_input": _resample,
    "sgd_update": _update,
    "adam_update": _update,
}
