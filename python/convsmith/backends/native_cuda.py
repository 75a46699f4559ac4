"""The CUDA kernels of convsmith._cuda, for CuPy arrays: float32, float16 and bfloat16 storage.

Its ops are the native functions, called on CuPy's current stream. A call returns once its kernels
are enqueued; until then the caller's arguments are alive, and afterwards CuPy's pool reuses memory
in stream order.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array, Shape
from convsmith.backends import cupy_fallback
from convsmith.backends.native import Op, device_supports, functions, load

NAME = "native_cuda"

_LEAST_CAPABILITY = 80  # asynchronous copies and bfloat16 products

_cuda, _reason = load(
    "_cuda",
    if_missing="is not built into this installation; with nvcc on the PATH, install again with "
    "CONVSMITH_CUDA=ON in the environment",
)


def _on_current_stream(function: Op) -> Op:
    def op(*arguments: Any, **keywords: Any) -> None:
        stream = importlib.import_module("cupy").cuda.get_current_stream().ptr
        function(*arguments, stream=int(stream), **keywords)

    return op


_ops = {op: _on_current_stream(function) for op, function in functions(_cuda).items()}
globals().update(_ops)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


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
    return device_supports(_ops, op, dtype) and unavailable_reason() is None


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    if not supports(op, dtype, shape):
        return ()
    return tuple(_cuda.algorithms(op, shape, getattr(dtype, "name", dtype)))


def empty(shape: Shape, dtype: Any) -> Array:
    """An uninitialised CuPy array from CuPy's pool, on CuPy's current device."""
    return cupy_fallback.empty(shape, dtype)
