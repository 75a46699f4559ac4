"""What is timed: a call of one op at one size, and those who contend at it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from convsmith.arrays import Array, Shape
from convsmith.backends import use_backend

NumpyArray: TypeAlias = npt.NDArray[Any]
Inputs: TypeAlias = tuple[Array, ...]
Run: TypeAlias = Callable[..., Any]
Call: TypeAlias = Callable[[], Any]

# How far a result may be from the reference's, relative to its norm. tf32 has 11 bits.
LIMITS = {"float64": 1e-12, "float32": 1e-5, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 1e-2}

# How far one element may be off, relative to the largest magnitude, in such limits. Errors like
# noise stay within 6 standard deviations even among 1e8 elements, and no largest magnitude is
# below the root mean square; a single wrong element among a million passes the norm in 16 bits.
_WORST = 8


@dataclass(frozen=True)
class Use:
    """Where the geometry is found, and how often that network has it."""

    network: str
    layer: str
    count: int


@dataclass(frozen=True)
class Input:
    """Normal random numbers, or their absolute values (variances)."""

    shape: Shape
    positive: bool = False


def _as_they_are(inputs: Inputs) -> Inputs:
    return inputs


@dataclass(frozen=True)
class Work:
    """One op at one size, run through convsmith.ops.

    start() gives a fresh run(*prepare(inputs), **choices) -> an array or a tuple of arrays; only
    a training step has a state that needs one of its own. `prepare` is not timed. shape and
    settings are what peers need to know besides the inputs.
    flop counts the direct algorithm's operations, elements what has to be read or written at least
    once, in numbers of the dtype.
    """

    op: str
    geometry: str
    uses: tuple[Use, ...]
    batch: int
    inputs: tuple[Input, ...]
    start: Callable[[], Run]
    flop: int
    elements: int
    shape: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Inputs], Inputs] = _as_they_are


@dataclass(frozen=True)
class Contender:
    """Somebody's way to do a work.

    bind(inputs) does all but the call itself. The inputs are arrays in our layout, or for
    channels_first NCHW. result turns what the call returned into NumPy arrays in our layout.
    peer is the library, None for a backend of ours. limit: see LIMITS.
    """

    name: str
    bind: Callable[[Inputs], Call]
    result: Callable[[Any], tuple[NumpyArray, ...]]
    limit: float
    peer: str | None = None
    channels_first: bool = False

    def shapes(self, work: Work) -> tuple[Input, ...]:
        """The inputs' shapes in this contender's layout."""
        if not self.channels_first:
            return work.inputs
        return tuple(Input(to_nchw(i.shape), i.positive) for i in work.inputs)


def to_nchw(shape: Sequence[int]) -> Shape:
    if len(shape) != 4:
        return tuple(shape)
    n, h, w, c = shape
    return (n, c, h, w)


def as_tuple(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def to_numpy(array: Any) -> NumpyArray:
    """From a CuPy array too."""
    return np.asarray(array.get() if hasattr(array, "get") else array)


def backend_contender(
    work: Work, backend: str, algorithm: str | None, limit: float, peer: str | None = None
) -> Contender:
    """A backend of ours. algorithm None: the op has no choice of one."""
    with use_backend(backend):
        # Entered once: choosing the backend by name is not what is timed.
        context = contextvars.copy_context()
    run = work.start()
    choice = {} if algorithm is None else {"algorithm": algorithm}

    def bind(inputs: Inputs) -> Call:
        prepared = context.run(work.prepare, inputs)
        return lambda: context.run(run, *prepared, **choice)

    named = algorithm not in (None, "auto")
    return Contender(
        peer or (f"{backend} {algorithm}" if named else backend),
        bind,
        lambda found: tuple(map(to_numpy, as_tuple(found))),
        LIMITS["tf32"] if algorithm == "tf32" else limit,
        peer,
    )


def truth(work: Work, inputs: Sequence[Array]) -> tuple[NumpyArray, ...]:
    """The reference backend's result, in float64. Changes no input."""
    wide = tuple(to_numpy(array).astype(np.float64) for array in inputs)
    with use_backend("reference"):
        return tuple(map(to_numpy, as_tuple(work.start()(*work.prepare(wide)))))


def fault(contender: Contender, inputs: Sequence[Array], expected: Sequence[NumpyArray]) -> str:
    """What is wrong with the contender's result; empty where nothing is. Changes no input."""
    own = tuple(
        (array.transpose(0, 3, 1, 2) if contender.channels_first and array.ndim == 4 else array)
        for array in inputs
    )
    copies = tuple(array.copy(order="C") for array in own)
    got = contender.result(contender.bind(copies)())
    # A peer may give fewer, such as no argmax of its own kind.
    for number, (found, wanted) in enumerate(zip(got, expected, strict=False)):
        if found.shape != wanted.shape:
            return f"output {number}: got shape {found.shape}, the reference has {wanted.shape}"
        off = found.astype(np.float64) - wanted
        size, error = float(np.linalg.norm(wanted)), float(np.linalg.norm(off))
        share = error / size if size > 0 else error
        if not share <= contender.limit:  # also for NaN
            return (
                f"output {number}: differs from the reference by {share:.1e} of its norm, "
                f"limit {contender.limit:.0e}"
            )
        largest = float(np.max(np.abs(wanted), initial=0.0))
        worst = float(np.max(np.abs(off), initial=0.0))
        if largest > 0 and not worst <= _WORST * contender.limit * largest:
            return (
                f"output {number}: an element differs from the reference by {worst / largest:.1e} "
                f"of the largest magnitude, limit {_WORST * contender.limit:.0e}"
            )
    return "" if got else "no result"
