"""Tensors of other libraries, lent to us and given back through DLPack without a copy.

The fronts take them; the ops know plain arrays alone. https://dmlc.github.io/dlpack
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from convsmith.arrays import Array
from convsmith.backends.table import find_row, mixed_kinds, row_of, type_name

_DLPACK_CPU = 1  # kDLCPU


def borrow(op: str, **values: Any) -> tuple[list[Any], Callable[[Array], Any]]:
    """The arguments as arrays of ours, and the function that turns a result into their kind.

    None stays None. Raises TypeError for values of different kinds, for a value that is neither
    an array of ours nor lends itself through DLPack, and for one that is not on the CPU.
    """
    arrays = list(values.values())
    first_name, first = next(iter(values.items()))
    kind = type(first)
    ours = kind is np.ndarray or find_row(kind) is not None
    if not ours and (not hasattr(first, "__dlpack__") or isinstance(first, np.ndarray)):
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


def _give_back(op: str, name: str, value: Any) -> Callable[[Array], Any]:
    # The caller holds a tensor of it, so the library has been imported: no import of ours.
    from_dlpack = getattr(sys.modules.get(library(value)), "from_dlpack", None)
    if from_dlpack is None and hasattr(value, "__array_namespace__"):
        from_dlpack = value.__array_namespace__().from_dlpack
    if from_dlpack is None:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))}, whose library has no from_dlpack to "
            f"take the result, wanted a NumPy array; pass numpy.asarray({name})"
        )
    return from_dlpack  # type: ignore[no-any-return]


def _lend(op: str, name: str, value: Any) -> Array:
    device = value.__dlpack_device__()
    if device[0] != _DLPACK_CPU:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))} on DLPack device type {int(device[0])}, "
            "wanted one on the CPU (type 1); nothing is moved between devices silently"
        )
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"{op}: {name}: got a {type_name(type(value))} that cannot be lent through DLPack "
            f"({error}), wanted a plain tensor of a NumPy dtype; pass {name}.detach() where it "
            "requires a gradient"
        ) from error
