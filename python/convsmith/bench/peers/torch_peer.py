"""PyTorch's side, in both memory formats, as a user would call it: no gradient tape.

PyTorch reads its allocator's setting once, so this must be imported before anything imports torch.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from convsmith.bench.peers.torch_ops import OPS, training_step
from convsmith.bench.work import LIMITS, Call, Contender, Inputs, NumpyArray, Work, as_tuple

# Huge pages for large blocks: PyTorch's best setting, off by default.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def _torch() -> Any:
    return importlib.import_module("torch")


def unavailable_reason() -> str:
    try:
        _torch()
    except ImportError as error:
        return f"PyTorch cannot be imported ({error}); pip install 'convsmith[torch]'"
    return ""


def describe() -> dict[str, Any]:
    torch = _torch()
    return {
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "torch_huge_pages": os.environ["THP_MEM_ALLOC_ENABLE"] == "1",
    }


def set_threads(threads: int) -> None:
    _torch().set_num_threads(threads)


def tensor(array: Any, channels_first: bool) -> Any:
    """The same memory as a tensor, NCHW to PyTorch: channels_last, or for channels_first as it
    is."""
    torch = _torch()
    if array.dtype.name == "bfloat16":  # which neither NumPy nor DLPack hands over
        found = tensor(array.view(np.int16), channels_first).view(torch.bfloat16)
        return found
    plain = torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.from_dlpack(array)
    return plain if plain.ndim != 4 or channels_first else plain.permute(0, 3, 1, 2)


def _result(found: Any) -> tuple[NumpyArray, ...]:
    torch = _torch()

    def one(value: Any) -> NumpyArray:
        value = value.detach().cpu() if isinstance(value, torch.Tensor) else torch.tensor(value)
        value = value.float() if value.dtype is torch.bfloat16 else value
        value = value.permute(0, 2, 3, 1) if value.ndim == 4 else value
        return np.asarray(value.contiguous().numpy())

    return tuple(one(value) for value in as_tuple(found) if value is not None)


def _bind(start: Callable[..., Call], work: Work, channels_first: bool, inputs: Inputs) -> Call:
    torch = _torch()
    call = start(work, *(tensor(array, channels_first) for array in inputs))

    def run() -> Any:
        with torch.no_grad():
            return call()

    return run


def contenders(work: Work, dtype: str, on_gpu: bool) -> list[Contender]:
    torch = _torch()
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    made = []
    formats = {"torch channels_last": False, "torch contiguous": True}
    if work.op == "training_step":
        for name, channels_first in formats.items():
            bind = training_step(channels_first, tensor)
            made.append(Contender(name, bind, _result, LIMITS[dtype], "torch"))
        return made
    if work.op not in OPS:
        return []
    if not any(len(i.shape) == 4 for i in work.inputs):
        formats = {"torch": False}
    for name, channels_first in formats.items():
        bind = partial(_bind, OPS[work.op], work, channels_first)
        made.append(
            Contender(name, bind, _result, LIMITS[dtype], "torch", channels_first=channels_first)
        )
    return made
