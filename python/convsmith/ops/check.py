"""The checks that every op makes before any work, each naming op, argument, got and wanted.

The passing path is a few comparisons, since a small network calls an op every few microseconds;
all the wording is in functions that only a failure reaches.
"""

from __future__ import annotations

import sys
from math import inf
from operator import index
from typing import Any

import numpy as np

from convsmith.arrays import Array, Shape, is_float
from convsmith.backends.table import mixed_kinds, row_of
from convsmith.ops.epilogue import ACTIVATIONS, NO_EPILOGUE, Epilogue

# Arrays.


def floats(op: str, name: str, value: Array) -> Any:
    """value is an array that the table knows, of floats, C-contiguous. Returns its dtype."""
    row_of(op, name, value)
    dtype = value.dtype
    if not is_float(dtype):
        raise _bad_dtype(op, name, dtype, "float32 (or float64, float16, bfloat16)")
    if not value.flags.c_contiguous:
        raise not_contiguous(op, name, value)
    if type(value) is not np.ndarray:
        _on_current_device(op, name, value)
    return dtype


def like(
    op: str, name: str, value: Array, first_name: str, first: Array, shape: Shape | None = None
) -> None:
    """value is of the kind and dtype of ``first``, C-contiguous and, if given, of this shape."""
    beside(op, name, value, first.dtype, first_name, first, shape)


def beside(
    op: str,
    name: str,
    value: Array,
    dtype: Any,
    first_name: str,
    first: Array,
    shape: Shape | None,
) -> None:
    """As ``like``, but of this dtype."""
    if type(value) is not type(first):
        row_of(op, name, value)
        raise mixed_kinds(op, name, value, first_name, first)
    if value.dtype != dtype:
        beside_what = f"as {first_name} has" if dtype == first.dtype else f"beside {first_name}"
        raise _bad_dtype(op, name, value.dtype, f"{dtype} {beside_what}")
    if not value.flags.c_contiguous:
        raise not_contiguous(op, name, value)
    if type(value) is not np.ndarray:
        _on_current_device(op, name, value)
    if shape is not None and value.shape != shape:
        raise bad_shape(op, name, value.shape, str(shape))


def has_shape(op: str, name: str, value: Array, shape: Shape) -> None:
    if value.shape != shape:
        raise bad_shape(op, name, value.shape, str(shape))


def channels_last(op: str, name: str, value: Array, least_rank: int = 1) -> int:
    """value is [..., channels] with at least one channel. Returns the channels."""
    shape = value.shape
    if len(shape) < least_rank:
        raise bad_shape(
            op, name, shape, f"at least {least_rank} dimension{'s' * (least_rank > 1)}, [..., C]"
        )
    if shape[-1] < 1:
        raise bad_shape(op, name, shape, "at least 1 in the last dimension")
    return int(shape[-1])


def writeable(op: str, name: str, value: Array) -> None:
    # Arrays on a device have no such flag: they can always be written.
    if not getattr(value.flags, "writeable", True):
        raise ValueError(
            f"{op}: {name}: got a read-only array, wanted a writeable one since it is updated in "
            f"place; pass {name}.copy()"
        )


def disjoint(op: str, name: str, value: Array, other_name: str, other: Array) -> None:
    """value shares no memory with other. Exact, because both are known to be contiguous."""
    first, end = _extent(value)
    other_first, other_end = _extent(other)
    if first < other_end and other_first < end:
        raise ValueError(
            f"{op}: {name}: got an array that overlaps {other_name}, wanted memory of its own "
            f"since it is written while {other_name} is read; pass a copy of {other_name}"
        )


def _extent(value: Array) -> tuple[int, int]:
    """The addresses of a contiguous array: its first byte, and the one after its last."""
    if type(value) is np.ndarray:
        first = value.__array_interface__["data"][0]
    else:
        first = value.__cuda_array_interface__["data"][0]
    return first, first + value.nbytes


def _on_current_device(op: str, name: str, value: Array) -> None:
    """Outputs are allocated on CuPy's current device, so inputs must be there as well."""
    cupy = sys.modules.get("cupy")
    if cupy is None or not isinstance(value, cupy.ndarray):
        return
    current = cupy.cuda.runtime.getDevice()
    if value.device.id != current:
        raise ValueError(
            f"{op}: {name}: got an array on GPU {value.device.id}, wanted one on GPU {current}, "
            "CuPy's current device; nothing is moved between devices silently: write "
            f"`with {name}.device:` around the call"
        )


# Everything else.


def geometry(op: str, value: Any, wanted: type) -> None:
    if type(value) is not wanted:
        raise TypeError(
            f"{op}: shape: got {value!r} of type {type(value).__name__}, wanted a "
            f"{wanted.__name__}; make one with {wanted.__name__}.infer(...)"
        )


def number(
    op: str, name: str, value: Any, least: float = -inf, most: float = inf, below: float = inf
) -> float:
    """value as a finite float, least <= value <= most and value < below."""
    if type(value) is not float:
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise TypeError(
                f"{op}: {name}: got {value!r} of type {type(value).__name__}, wanted a number"
            )
        value = float(value)
    if not (least <= value <= most and value < below and value > -inf):
        bounds = [f"at least {least}"] * (least > -inf) + [f"at most {most}"] * (most < inf)
        bounds += [f"less than {below}"] * (below < inf)
        raise ValueError(
            f"{op}: {name}: got {value}, wanted a finite number {' and '.join(bounds)}".rstrip()
        )
    return float(value)


def integer(op: str, name: str, value: Any, least: int) -> int:
    try:
        value = index(value)
    except TypeError:
        raise TypeError(
            f"{op}: {name}: got {value!r} of type {type(value).__name__}, wanted an int"
        ) from None
    if value < least:
        raise ValueError(f"{op}: {name}: got {value}, wanted at least {least}")
    return int(value)


def activation(op: str, name: str, kind: str, negative_slope: float) -> float:
    """kind is one of ACTIVATIONS. Returns the slope as a float, positive for leaky_relu."""
    if kind not in ACTIVATIONS:
        raise ValueError(f"{op}: {name}: got {kind!r}, wanted one of {', '.join(ACTIVATIONS)}")
    slope = number(op, "negative_slope", negative_slope)
    if kind == "leaky_relu" and slope <= 0:
        # The backward pass reads the sign of x off y.
        raise ValueError(
            f"{op}: negative_slope: got {negative_slope}, wanted more than 0 for leaky_relu; use "
            "relu for a slope of 0"
        )
    return slope


def epilogue(
    op: str, value: Epilogue, channels: int, y_shape: Shape, first_name: str, first: Array
) -> None:
    """bias is [channels], residual has y's shape, both of the kind and dtype of ``first``."""
    if value is NO_EPILOGUE:
        return
    if not isinstance(value, Epilogue):
        raise TypeError(
            f"{op}: epilogue: got a {type(value).__name__}, wanted an Epilogue; for a bias write "
            "Epilogue(bias=...)"
        )
    if value.bias is not None:
        like(op, "bias", value.bias, first_name, first, (channels,))
    if value.residual is not None:
        like(op, "residual", value.residual, first_name, first, y_shape)
    if value.activation != "identity":
        activation(op, "activation", value.activation, value.negative_slope)


def algorithm(op: str, name: str, backend: Any, dtype: Any, shape: Any) -> None:
    """An algorithm asked for by name is one that the backend has for this case."""
    if name == "auto":
        return
    known = backend.algorithms(op, dtype, shape)
    if name not in known:
        raise ValueError(
            f"{op}: algorithm: got {name!r} for {shape}, wanted "
            f"{', '.join(('auto', *known))}: what the backend {backend.NAME} has for this case"
        )


# The wording.


def bad_shape(op: str, name: str, got: Shape, wanted: str) -> ValueError:
    return ValueError(f"{op}: {name}: got shape {tuple(got)}, wanted {wanted}")


def not_contiguous(op: str, name: str, value: Array) -> ValueError:
    library = type(value).__module__.partition(".")[0]
    return ValueError(
        f"{op}: {name}: got an array that is not C-contiguous, wanted one that is, since a silent "
        f"copy would hide its cost; pass {library}.ascontiguousarray({name}), or "
        f"{name}.contiguous() for a tensor"
    )


def _bad_dtype(op: str, name: str, got: Any, wanted: str) -> TypeError:
    order = "" if got.isnative else f" in foreign byte order ({got.str})"
    return TypeError(
        f"{op}: {name}: got dtype {got.name}{order}, wanted {wanted}; convert with "
        f"{name}.astype(...)"
    )
