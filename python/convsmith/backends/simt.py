"""The CUDA kernels, run thread by thread on the CPU by convsmith._simt, for NumPy arrays.

For tests and for writing kernels: some thousand times slower than a GPU, but every barrier, warp
operation and memory access is checked, and a fault is a SimtError that names the kernel, the
thread and the line. Never chosen by itself: use_backend("simt"), `convsmith check --backend simt`.
Storage is float32, float16 or bfloat16 (the dtype of the package ml_dtypes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from convsmith.arrays import Array, Shape
from convsmith.backends.native import device_supports, functions, load

NAME = "simt"

POLICIES = ("round_robin", "skew", "random")

_simt, _reason = load("_simt")
_ops = functions(_simt)
globals().update(_ops)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def unavailable_reason() -> str | None:
    return _reason


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    return device_supports(_ops, op, dtype)


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    if not supports(op, dtype, shape):
        return ()
    return tuple(_simt.algorithms(op, shape, getattr(dtype, "name", dtype)))


def empty(shape: Shape, dtype: Any) -> Array:
    """An array of NaN (integers: -1 or the largest), so that an element left unwritten shows."""
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = 0xFF
    return array


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
