"""Writes a `cupy` for machines without a GPU: NumPy under CuPy's names, and a GPU that is not.

Its arrays are a class of their own, as the dispatch table wants it, and refuse to become NumPy
arrays behind one's back.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = '''
import sys
import types

import numpy as np

__version__ = "14.0.fake"


class ndarray(np.ndarray):
    """An array on the fake GPU."""

    __module__ = "cupy"
    device = types.SimpleNamespace(id=0)

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__

    def __array__(self, *arguments, **keywords):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def _to_device(array):
    return np.asarray(array).view(ndarray)


def asarray(array):
    return _to_device(array).copy()


def empty(shape, dtype):
    return _to_device(np.empty(shape, dtype))


def from_dlpack(tensor):
    return _to_device(np.from_dlpack(getattr(tensor, "memory", tensor)))


class _Device:
    compute_capability = "{capability}"


cuda = types.SimpleNamespace(
    is_available=lambda: {available},
    runtime=types.SimpleNamespace(getDevice=lambda: {current}),
    get_current_stream=lambda: types.SimpleNamespace(ptr=4712),
    Device=_Device,
)


def __getattr__(name):
    return getattr(np, name)
'''


def write(folder: Path, *, available: bool = True, current: int = 0, capability: int = 90) -> Path:
    """Makes `import cupy` work with this folder on the path; returns the folder."""
    package = folder / "cupy"
    package.mkdir()
    source = SOURCE
    for name, value in {
        "available": available,
        "current": current,
        "capability": capability,
    }.items():
        source = source.replace("{" + name + "}", str(value))
    (package / "__init__.py").write_text(source)
    return folder
