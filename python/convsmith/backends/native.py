"""What the backends over a native module have in common: finding it, and its functions as ops.

The native function of an op takes what a backend's function takes, in the same order and under the
same names, and checks the memory. Only an epilogue is spread out: pybind11 has no such type.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array
from convsmith.backends.table import OPS

if TYPE_CHECKING:
    from convsmith.ops.epilogue import Epilogue

Op = Callable[..., None]

_WITH_EPILOGUE = ("conv2d_forward", "gemm")
# Storage of the modules over csrc/cuda.
DEVICE_DTYPES = frozenset(("float32", "float16", "bfloat16"))
# 16-bit parameters are updated in float32 (optim.Optimizer), so these have no 16-bit kernel.
_FLOAT32_ONLY = frozenset(("sgd_update", "adam_update"))


def load(name: str, if_missing: str = "") -> tuple[Any, str | None]:
    """(the module convsmith.<name>, None), or (None, why it cannot be used).

    if_missing is what to say where the module was not built, else Python's own words.
    """
    full_name = f"convsmith.{name}"
    try:
        return importlib.import_module(full_name), None
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == full_name
        if missing and if_missing:
            return None, f"the native module {full_name} {if_missing}"
        return None, f"the native module {full_name} could not be imported: {error}"


def functions(module: Any) -> dict[str, Op]:
    """A function for each op that the module has, to become the backend's own."""
    found = {op: getattr(module, op) for op in OPS if hasattr(module, op)}
    return {op: _spread(f) if op in _WITH_EPILOGUE else f for op, f in found.items()}


def _spread(function: Op) -> Op:
    def op(
        first: Array, second: Array, y: Array, shape: Any, epilogue: Epilogue, **keywords: Any
    ) -> None:
        function(
            first,
            second,
            epilogue.bias,
            epilogue.residual,
            y,
            shape,
            epilogue.activation,
            epilogue.negative_slope,
            **keywords,
        )

    return op


def device_supports(ops: dict[str, Op], op: str, dtype: Any) -> bool:
    """Whether a module over csrc/cuda with these functions has a kernel for the case."""
    name = getattr(dtype, "name", dtype)
    return op in ops and (name == "float32" or (name in DEVICE_DTYPES and op not in _FLOAT32_ONLY))
