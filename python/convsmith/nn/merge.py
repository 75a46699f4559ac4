"""Layers of several inputs, for the nodes of a Graph where branches meet.

``forward`` takes a tuple of arrays, ``backward`` returns a tuple of gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convsmith.arrays import Array
from convsmith.nn.layer import Cache, Layer, need_cache
from convsmith.ops.elementwise import add


class Add(Layer):
    """The sum of two or more arrays of one shape."""

    def forward(self, x: Sequence[Array], training: bool = False) -> tuple[Array, Cache]:
        _check_several("Add", x)
        if len(x) < 2:
            raise ValueError(f"Add: got {len(x)} inputs, wanted at least 2")
        y = add(x[0], x[1])
        for other in x[2:]:
            y = add(y, other)
        return y, (len(x) if training else None)

    def backward(
        self, dy: Array, cache: Cache, input_grad: bool = True
    ) -> tuple[Array, ...] | None:
        need_cache(self, cache)
        return (dy,) * cache if input_grad else None


class Concatenate(Layer):
    """The inputs side by side along the last axis, the channels."""

    def forward(self, x: Sequence[Array], training: bool = False) -> tuple[Array, Cache]:
        _check_several("Concatenate", x)
        y = concatenate_channels("Concatenate", x)
        return y, ([array.shape[-1] for array in x] if training else None)

    def backward(
        self, dy: Array, cache: Cache, input_grad: bool = True
    ) -> tuple[Array, ...] | None:
        need_cache(self, cache)
        return tuple(split_channels(dy, cache)) if input_grad else None


def _check_several(label: str, x: object) -> None:
    # An array would be taken apart along its batch.
    if not isinstance(x, (tuple, list)):
        raise TypeError(f"{label}: x: got a {type(x).__name__}, wanted a tuple of arrays")


def concatenate_channels(label: str, arrays: Sequence[Array]) -> Array:
    """``arrays`` joined along the last axis; ValueError unless all other dimensions agree."""
    shapes = [array.shape for array in arrays]
    if not shapes or not shapes[0] or any(s[:-1] != shapes[0][:-1] for s in shapes):
        raise ValueError(
            f"{label}: got shapes {', '.join(map(str, shapes)) or 'of no array'}, wanted arrays "
            "that differ in the last dimension alone"
        )
    if len({array.dtype for array in arrays}) > 1:
        raise TypeError(
            f"{label}: got dtypes {', '.join(str(array.dtype) for array in arrays)}, wanted one"
        )
    return np.concatenate(arrays, axis=-1)


def split_channels(dy: Array, channels: Sequence[int]) -> list[Array]:
    """The pieces, each contiguous, of what ``concatenate_channels`` joined."""
    pieces = []
    start = 0
    for count in channels:
        pieces.append(dy[..., start : start + count].copy())
        start += count
    return pieces
