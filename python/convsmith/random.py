"""One source of randomness for initial weights, dropout and shuffling."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_generator: np.random.Generator | None = None


def seed(n: int) -> None:
    """Start the global generator anew from n, an int of at least 0; the same n, the same numbers.

    Raises TypeError for a value that is no int, ValueError for a negative one.
    """
    import numpy as np  # numpy.random takes longer to import than all of convsmith

    global _generator
    try:
        n = index(n)
    except TypeError:
        raise TypeError(f"seed: n: got {n!r} of type {type(n).__name__}, wanted an int") from None
    if n < 0:
        raise ValueError(f"seed: n: got {n}, wanted at least 0")
    _generator = np.random.default_rng(n)


def generator() -> np.random.Generator:
    """The global generator; until seed is called its numbers differ from run to run."""
    import numpy as np

    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator
