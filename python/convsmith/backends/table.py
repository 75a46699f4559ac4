"""Which backend runs an op: one table from array type to backends, in order of preference.

The first backend of the row whose ``supports`` says yes wins; the last one supports everything.
Nothing is ever moved from one device to another to make a backend fit.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from convsmith.arrays import Array

# Every op. A backend is a module with NAME, empty, supports, algorithms, unavailable_reason and,
# for each op that it supports, a function of that name which fills the outputs that it is given.
OPS = (
    "conv2d_forward",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_backward_bias",
    "gemm",
    "max_pool2d_forward",
    "max_pool2d_backward_input",
    "avg_pool2d_forward",
    "avg_pool2d_backward_input",
    "adaptive_avg_pool2d_forward",
    "adaptive_avg_pool2d_backward_input",
    "batch_norm_forward",
    "batch_norm_backward",
    "batch_norm_inference_forward",
    "batch_norm_inference_backward",
    "local_response_norm_forward",
    "local_response_norm_backward",
    "activation_forward",
    "activation_backward",
    "add",
    "softmax_forward",
    "softmax_backward",
    "log_softmax_forward",
    "log_softmax_backward",
    "softmax_cross_entropy",
    "upsample_nearest2d_forward",
    "upsample_nearest2d_backward_input",
    "upsample_bilinear2d_forward",
    "upsample_bilinear2d_backward_input",
    "sgd_update",
    "adam_update",
)


@dataclass(frozen=True)
class Row:
    """An array type, named so that its library need not be imported, and its backends.

    on_request: backends that take these arrays too, but only where use_backend names them.
    """

    array_type: str
    backends: tuple[str, ...]
    on_request: tuple[str, ...] = ()

    @property
    def all_backends(self) -> tuple[str, ...]:
        return self.backends + self.on_request


ROWS = (
    Row("numpy.ndarray", ("native_cpu", "reference"), on_request=("simt",)),
    Row("cupy.ndarray", ("native_cuda", "cupy_fallback")),
)

_row_of_type: dict[type, Row] = {}  # filled as types are met
_registered: dict[str, dict[str, Any]] = {}  # of users: name -> array type -> backend
_modules: dict[str, ModuleType] = {}
_forced: ContextVar[str | None] = ContextVar("convsmith_backend", default=None)


def row_of(op: str, name: str, value: Any) -> Row:
    """The row for an argument's type; TypeError when the table has none.

    Subclasses (numpy.matrix, masked arrays) are refused: their arithmetic is not an ndarray's.
    """
    row = _row_of_type.get(type(value)) or find_row(type(value))
    if row is None:
        known = " or ".join(row.array_type for row in ROWS)
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))}, wanted a {known}; convert it, for "
            f"example with numpy.asarray({name})"
        )
    return row


def find_row(kind: type) -> Row | None:
    """The row for an array type, or None."""
    full_name = type_name(kind)
    for row in ROWS:
        if row.array_type == full_name:
            _row_of_type[kind] = row
            return row
    return None


def type_name(kind: type) -> str:
    """'numpy.ndarray': the library and the class, whatever module of the library defines it."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def select(op: str, arrays: Iterable[Array], dtype: Any, shape: Any = None) -> Any:
    """The backend that runs ``op`` on these arrays.

    Raises TypeError for arrays of different kinds or of an unknown kind, ValueError when the
    backend forced by use_backend does not support the case.
    """
    first: Any = None
    row: Row | None = None
    for array in arrays:
        if row is None:
            first, row = array, row_of(op, "array 0", array)
        elif type(array) is not type(first):
            raise mixed_kinds(op, "an array", array, "another", first)
    if row is None:
        raise ValueError(f"{op}: arrays: got none, wanted at least one to choose a backend by")
    return _choose(op, row, dtype, shape)


def mixed_kinds(op: str, name: str, value: Any, first_name: str, first: Any) -> TypeError:
    """The error for two arguments that do not live on the same device."""
    got, wanted = type_name(type(value)), type_name(type(first))
    return TypeError(
        f"{op}: {name}: got a {got}, wanted a {wanted} as {first_name} is; nothing is moved "
        "between devices silently: convert one of them"
    )


def _choose(op: str, row: Row, dtype: Any, shape: Any) -> Any:
    forced = _forced.get()
    if forced in _registered:  # serves what it can; all else is chosen as if nothing was forced
        own = _registered[forced].get(row.array_type)
        if own is not None and own.supports(op, dtype, shape):
            return own
    elif forced is not None:
        return _choose_forced(op, row, dtype, shape, forced)
    for name in row.backends:
        backend = _modules.get(name) or _load(name)
        if backend.supports(op, dtype, shape):
            return backend
    raise ValueError(
        f"{op}: got dtype {np.dtype(dtype)} in a {row.array_type}, wanted a case that one of the "
        f"backends {', '.join(row.backends)} supports"
    )


def _choose_forced(op: str, row: Row, dtype: Any, shape: Any, forced: str) -> Any:
    if forced not in row.all_backends:
        raise TypeError(
            f"{op}: got a {row.array_type}, which the backend {forced}, forced by use_backend, "
            f"does not take; wanted one of {', '.join(row.all_backends)}"
        )
    backend = _load(forced)
    if not backend.supports(op, dtype, shape):
        reason = why_not(forced) or f"it does not support dtype {np.dtype(dtype)} with {shape}"
        raise ValueError(
            f"{op}: got dtype {np.dtype(dtype)} for the backend {forced}, forced by use_backend, "
            f"wanted a case that it supports ({reason}); leave the block or force another of "
            f"{', '.join(row.all_backends)}"
        )
    return backend


def register(name: str, backends: Mapping[str, Any]) -> None:
    """Lets use_backend choose a backend that is no module of convsmith's, by array type.

    Under a name that was registered before, the new one takes its place. Raises ValueError for
    the name of a backend of convsmith's own.
    """
    if name in _own_names():
        raise ValueError(
            f"register: name: got {name!r}, a backend of convsmith's own; wanted another name"
        )
    _registered[name] = dict(backends)


def registered() -> dict[str, dict[str, Any]]:
    """What was registered: name -> array type -> backend."""
    return {name: dict(backends) for name, backends in _registered.items()}


def _load(name: str) -> Any:
    if name in _registered:
        return next(iter(_registered[name].values()))
    module = _modules.get(name)
    if module is None:
        module = importlib.import_module(f"convsmith.backends.{name}")
        _modules[name] = module
    return module


def _own_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in ROWS for name in row.all_backends))


def _names() -> tuple[str, ...]:
    return (*_own_names(), *_registered)


def _check_name(name: str) -> None:
    if name not in _names():
        raise ValueError(f"use_backend: name: got {name!r}, wanted one of {', '.join(_names())}")


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block every op of this thread or task runs on this backend, or raises.

    >>> with use_backend("reference"):
    ...     y = convsmith.conv2d(x, weight)

    A kernel of register_kernel serves the op that it has; the others run as without the block.

    Raises ValueError for an unknown name, RuntimeError for a backend that is not available here.
    """
    _check_name(name)
    reason = why_not(name)
    if reason:
        raise RuntimeError(
            f"use_backend: name: got {name!r}, which is not available: {reason}; wanted one of "
            f"{', '.join(available_backends())}"
        )
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def which_backend(op: str, array_or_dtype: Any = "float32", shape: Any = None) -> str:
    """The name of the backend that would run ``op`` now.

    array_or_dtype is an array, or a dtype for a NumPy array; shape is the op's shape object, for
    backends whose answer depends on it. Raises ValueError for an unknown op.
    """
    if op not in OPS:
        near = difflib.get_close_matches(op, OPS, n=3, cutoff=0.4)
        raise ValueError(
            f"which_backend: op: got {op!r}, wanted one of "
            + (", ".join(near) + ", ... (convsmith.backends.OPS)" if near else ", ".join(OPS))
        )
    if hasattr(array_or_dtype, "__dlpack__"):
        row, dtype = row_of(op, "array_or_dtype", array_or_dtype), array_or_dtype.dtype
    else:
        row, dtype = ROWS[0], np.dtype(array_or_dtype)
    return str(_choose(op, row, dtype, shape).NAME)


def available_backends() -> tuple[str, ...]:
    """The backends that can run here."""
    return tuple(name for name in _names() if not why_not(name))


def why_not(name: str) -> str:
    """Why a backend cannot run here; the empty string when it can."""
    _check_name(name)
    return _load(name).unavailable_reason() or ""
