"""The C++ kernels of convsmith._cpu: float32 on the CPU.

Its ops are the native functions themselves. The table imports this file when it first chooses a
backend; a native module that is missing or broken is remembered as the reason, and the next
backend of the row takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from convsmith.arrays import Array, Shape
from convsmith.backends.native import functions, load

NAME = "native_cpu"

_FLOAT32 = np.dtype(np.float32)

_cpu, _reason = load("_cpu")
_ops = functions(_cpu)
globals().update(_ops)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def unavailable_reason() -> str | None:
    return _reason


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    return bool(dtype == _FLOAT32) and op in _ops


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    return tuple(_cpu.algorithms(op, shape)) if supports(op, dtype, shape) else ()


def empty(shape: Shape, dtype: Any) -> Array:
    """An uninitialised array from the arena, whose memory is recycled once the array is gone."""
    return _cpu.empty(shape, dtype)


def instruction_sets() -> tuple[str, ...]:
    """What this processor can run, fastest last."""
    return tuple(_cpu.available_isas())


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Runs the kernels with this instruction set, in every thread, for the duration."""
    before = _cpu.isa()
    _cpu.set_isa(name)
    try:
        yield
    finally:
        _cpu.set_isa(before)
