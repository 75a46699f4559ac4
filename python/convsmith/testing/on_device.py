"""A device backend behind the face of a CPU one, so that one engine checks both.

The engine hands over NumPy arrays between guard bands. Here the whole buffer around an array goes
to the device, bands and offset included; the kernel gets the view inside it; and afterwards every
buffer comes back, so that a write outside an output, or into an input, is seen as on the CPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from convsmith.backends.table import OPS, ROWS
from convsmith.ops.epilogue import Epilogue
from convsmith.testing.problem import NumpyArray

Upload = Callable[[NumpyArray], Any]
Download = Callable[[Any], NumpyArray]


class OnDevice:
    """`backend`, whose functions take device arrays, for NumPy arrays.

    upload copies a one-dimensional NumPy array to the device, download copies it back.
    """

    def __init__(self, backend: Any, upload: Upload, download: Download) -> None:
        self.NAME = backend.NAME
        self.supports = backend.supports
        self.algorithms = backend.algorithms
        self._backend = backend
        self._upload = upload
        self._download = download

    def __getattr__(self, op: str) -> Callable[..., None]:
        if op not in OPS:
            raise AttributeError(f"{self.NAME} has no op {op!r}")
        return lambda *arguments, **keywords: self._call(op, arguments, keywords)

    def _call(self, op: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        lent: list[tuple[NumpyArray, Any]] = []

        def lend(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            buffer = buffer_of(value)
            on_device = self._upload(buffer)
            lent.append((buffer, on_device))
            first = address(value) - address(buffer)
            return on_device[first // value.itemsize :][: value.size].reshape(value.shape)

        def lend_any(value: Any) -> Any:
            if isinstance(value, Epilogue):
                return replace(value, bias=lend(value.bias), residual=lend(value.residual))
            return lend(value)

        try:
            getattr(self._backend, op)(*map(lend_any, arguments), **keywords)
        finally:
            for buffer, on_device in lent:
                buffer[...] = self._download(on_device)


def address(array: NumpyArray) -> int:
    """Of the first element."""
    return int(array.__array_interface__["data"][0])


def buffer_of(array: NumpyArray) -> NumpyArray:
    """The one-dimensional array that owns the memory, of the same type; else a flat view."""
    base = array.base
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, np.ndarray) and base.ndim == 1 and base.dtype == array.dtype:
        return base
    return array.reshape(-1)


def on_numpy(backend: Any) -> Any:
    """The backend module as the engine wants it: itself, or OnDevice for CuPy's backends."""
    cupy_backends = [
        name for row in ROWS if row.array_type.startswith("cupy") for name in row.backends
    ]
    if backend.NAME not in cupy_backends:
        return backend
    cupy = importlib.import_module("cupy")
    return OnDevice(backend, cupy.asarray, cupy.asnumpy)
