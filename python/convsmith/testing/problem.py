"""One call of one op, fully spelled out: its inputs, outputs and how far a result may be off.

A case (see cases.py) turns an op and a fill into a `Problem`; `evaluate` answers it in float64
with a backend taken as truth; check.py gives it to the backend under test.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from convsmith.ops.epilogue import Epilogue

NumpyArray: TypeAlias = npt.NDArray[Any]
Bounds: TypeAlias = Mapping[str, "NumpyArray | float"]

FILLS = ("integer", "real")

# Every sum of an integer fill stays at or under this, so that float32 holds it exactly, whatever
# the order of the additions; a factor of two is left for bias, residual and gemm's alpha.
_INTEGER_SUM_LIMIT = 2**22


@dataclass(frozen=True, eq=False)
class Out:
    """An output the caller allocates. `start` is its content before the call, for in-place ops."""

    name: str
    shape: tuple[int, ...]
    dtype: npt.DTypeLike = np.float32
    start: NumpyArray | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """`arguments` in the backend's order: ndarray is an input, Out an output, the rest as it is.

    bounds(expected) gives for each output name the largest allowed |error|, 0.0 for bitwise.
    """

    op: str
    arguments: tuple[Any, ...]
    bounds: Callable[[Mapping[str, NumpyArray]], Bounds]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    shape: Any = None

    @property
    def outputs(self) -> tuple[Out, ...]:
        return tuple(a for a in self.arguments if isinstance(a, Out))


class Case(Protocol):
    """What cases.py lists: a geometry with a seed, good for the ops of one family."""

    @property
    def id(self) -> str:
        """A readable name, unique in the list."""
        ...

    @property
    def ops(self) -> tuple[str, ...]:
        """The ops this case exercises."""
        ...

    @property
    def fills(self) -> tuple[str, ...]:
        """Those of FILLS that make sense for it."""
        ...

    @property
    def cost(self) -> int:
        """Scalar steps of the dearest op, roughly."""
        ...

    def problem(self, op: str, fill: str) -> Problem:
        """The call of `op` on this case; the same numbers every time."""
        ...


def map_arrays(problem: Problem, change: Callable[[NumpyArray], NumpyArray]) -> Problem:
    """The problem with every input array, inside the epilogue too, replaced by change(array)."""

    def one(argument: Any) -> Any:
        if isinstance(argument, np.ndarray):
            return change(argument)
        if isinstance(argument, Out) and argument.start is not None:
            return replace(argument, start=change(argument.start))
        if isinstance(argument, Epilogue):
            bias, residual = argument.bias, argument.residual
            return replace(
                argument,
                bias=None if bias is None else change(bias),
                residual=None if residual is None else change(residual),
            )
        return argument

    return replace(problem, arguments=tuple(one(a) for a in problem.arguments))


def call(
    backend: Any, problem: Problem, outputs: Mapping[str, NumpyArray], **keywords: Any
) -> None:
    """Run the problem's op of `backend` into `outputs`."""
    arguments = [outputs[a.name] if isinstance(a, Out) else a for a in problem.arguments]
    getattr(backend, problem.op)(*arguments, **problem.keywords, **keywords)


def _widened(array: NumpyArray) -> NumpyArray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def evaluate(backend: Any, problem: Problem) -> dict[str, NumpyArray]:
    """The outputs in float64 (integer outputs in their own type), by `backend`."""
    wide = map_arrays(problem, _widened)
    outputs: dict[str, NumpyArray] = {}
    for out in wide.outputs:
        dtype = np.dtype(out.dtype)
        if out.start is not None:
            outputs[out.name] = out.start.copy()
        elif dtype.kind == "f":
            outputs[out.name] = np.full(out.shape, np.nan)
        else:
            outputs[out.name] = np.zeros(out.shape, dtype)
    call(backend, wide, outputs)
    return outputs


def generator(case: Case, op: str, fill: str) -> np.random.Generator:
    """Random numbers that depend on the case alone, not on its place in a list.

    Every `problem` begins here, so this is where an op or fill the case does not have is refused.
    """
    if op not in case.ops:
        raise ValueError(f"{case.id}: op: got {op!r}, wanted one of {', '.join(case.ops)}")
    if fill not in case.fills:
        raise ValueError(f"{case.id}: fill: got {fill!r}, wanted one of {', '.join(case.fills)}")
    return np.random.default_rng(zlib.crc32(f"{case.id} {op} {fill}".encode()))


def values(rng: np.random.Generator, fill: str, shape: tuple[int, ...], limit: int) -> NumpyArray:
    """float32: integers in [-limit, limit], or standard normal numbers."""
    if fill == "integer":
        return rng.integers(-limit, limit, shape, endpoint=True).astype(np.float32)
    if fill == "real":
        return rng.standard_normal(shape).astype(np.float32)
    raise ValueError(f"fill: got {fill!r}, wanted one of {FILLS}")


def factors(
    rng: np.random.Generator,
    fill: str,
    first: tuple[int, ...],
    second: tuple[int, ...],
    length: int,
) -> tuple[NumpyArray, NumpyArray]:
    """Two operands whose products are summed `length` at a time.

    Integer fill: the first has 12 bits where the length allows it, which TF32 cannot hold, and
    the second is in [-2, 2]; every partial sum is exact in float32.
    """
    limit = max(1, min(4095, _INTEGER_SUM_LIMIT // (2 * max(length, 1))))
    return values(rng, fill, first, limit), values(rng, fill, second, 2)
