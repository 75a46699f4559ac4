"""The state of a PyTorch model in our layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def from_torch(
    state_dict: Mapping[str, Any], flatten: Mapping[str, tuple[int, int, int]] | None = None
) -> dict[str, NDArray[Any]]:
    """``state_dict`` of a torch.nn.Module as a state for ``Layer.load_state_dict``.

    Values are tensors or arrays; the result holds copies of them as NumPy arrays. Arrays of four
    dimensions are weights of convolutions, [out, in, h, w], and become [out, h, w, in]; bfloat16
    becomes float32. A Linear that follows a flatten has its columns in another order in PyTorch:
    ``flatten`` maps its key to the (channels, height, width) that were flattened.

    >>> state = from_torch(theirs.state_dict(), flatten={"classifier.0.weight": (512, 7, 7)})
    >>> model.load_state_dict(state)

    Raises ValueError for a key of flatten that is not there or does not fit, TypeError for a value
    that is neither a tensor nor an array.
    """
    flatten = {} if flatten is None else flatten
    unknown = [key for key in flatten if key not in state_dict]
    if unknown:
        raise ValueError(
            f"from_torch: flatten: got {', '.join(map(repr, unknown))}, wanted keys of state_dict"
        )
    return {key: _converted(key, value, flatten.get(key)) for key, value in state_dict.items()}


def _converted(key: str, value: Any, flattened: tuple[int, int, int] | None) -> NDArray[Any]:
    array = _as_numpy(key, value)
    if flattened is not None:
        if array.ndim != 2 or len(flattened) != 3 or math.prod(flattened) != array.shape[1]:
            raise ValueError(
                f"from_torch: flatten: got {flattened} for {key!r} of shape {array.shape}, wanted "
                "(channels, height, width) whose product is the second dimension"
            )
        images = array.reshape(-1, *flattened).transpose(0, 2, 3, 1)
        return np.array(images, order="C").reshape(array.shape)
    return np.array(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array, order="C")


def _as_numpy(key: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy has no such type
            value = value.float()
        value = value.numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"from_torch: {key}: got a {type(value).__name__}, wanted a tensor or an array"
        )
    return value
