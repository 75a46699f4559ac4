"""Tensors of other libraries, lent to us and given back without a copy, on the CPU or a GPU.

The fronts take them; the ops know plain arrays alone. A tensor on the CPU becomes a NumPy array,
one on a GPU a CuPy array, through DLPack (https://dmlc.github.io/dlpack) or, where a library has
no DLPack, through __cuda_array_interface__. DLPack lets CuPy's current stream wait for the
tensor's; memory of a result goes back to CuPy's pool, so a library that works on a stream of its
own should make CuPy use it (cupy.cuda.ExternalStream).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from convsmith.arrays import Array
from convsmith.backends.table import find_row, mixed_kinds, row_of, type_name

_DLPACK_CPU = 1  # kDLCPU
_DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def borrow(op: str, **values: Any) -> tuple[list[Any], Callable[[Array], Any]]:
    """The arguments as arrays of ours, and the function that turns a result into their kind.

    None stays None. Raises TypeError for values of different kinds, for a value that is neither
    an array of ours nor lends itself, for one on a device of no array of ours, and for one on a
    GPU where CuPy is missing.
    """
    arrays = list(values.values())
    first_name, first = next(iter(values.items()))
    kind = type(first)
    ours = kind is np.ndarray or find_row(kind) is not None
    if not ours and (not _lends(first) or isinstance(first, np.ndarray)):
        row_of(op, first_name, first)  # raises
    for name, value in values.items():
        # A trained parameter (torch.nn.Parameter) may stand beside a plain tensor.
        if value is not None and type(value) is not kind and library(value) != library(first):
            raise mixed_kinds(op, name, value, first_name, first)
    if ours:
        return arrays, _same
    give_back = _give_back(op, first_name, first)
    for i, (name, value) in enumerate(values.items()):
        arrays[i] = None if value is None else _lend(op, name, value)
    return arrays, give_back


def library(value: Any) -> str:
    """'torch' for a torch.Tensor."""
    return type(value).__module__.partition(".")[0]


def _same(result: Array) -> Any:
    return result


def _lends(value: Any) -> bool:
    return hasattr(value, "__dlpack__") or hasattr(value, "__cuda_array_interface__")


def _give_back(op: str, name: str, value: Any) -> Callable[[Array], Any]:
    # The caller holds a tensor of it, so the library has been imported: no import of ours.
    found = getattr(sys.modules.get(library(value)), "from_dlpack", None)
    if found is None and hasattr(value, "__array_namespace__"):
        found = value.__array_namespace__().from_dlpack
    if found is None and library(value) == "numba":
        found = getattr(sys.modules.get("numba.cuda"), "as_cuda_array", None)
    if found is None:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))}, whose library has no from_dlpack to "
            f"take the result, wanted a NumPy or CuPy array; pass numpy.asarray({name}), or "
            f"cupy.asarray({name}) for one on a GPU"
        )
    return found  # type: ignore[no-any-return]


def _lend(op: str, name: str, value: Any) -> Array:
    if not hasattr(value, "__dlpack__"):
        return _through(op, name, value, _cupy(op, name, value).asarray)
    device = value.__dlpack_device__()
    if device[0] == _DLPACK_CPU:
        return _through(op, name, value, np.from_dlpack)
    if device[0] in _DLPACK_CUDA:
        return _through(op, name, value, _cupy(op, name, value).from_dlpack)
    raise TypeError(
        f"{op}: {name}: got a {type_name(type(value))} on DLPack device type {int(device[0])}, "
        "wanted one on the CPU (type 1) or on an NVIDIA GPU (type 2); nothing is moved between "
        "devices silently"
    )


def _through(op: str, name: str, value: Any, convert: Callable[[Any], Array]) -> Array:
    try:
        return convert(value)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))} that cannot be lent through DLPack "
            f"({error}), wanted a plain tensor of a NumPy dtype; pass {name}.detach() where it "
            "requires a gradient"
        ) from error


def _cupy(op: str, name: str, value: Any) -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))} on a GPU, which needs CuPy ({error}), "
            "wanted one on the CPU; install CuPy with pip install 'convsmith[cuda13]', since "
            "nothing is moved between devices silently"
        ) from error
