"""A model's parameters and buffers as one file, .npz or .safetensors by its name."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from convsmith.io import npz, safetensors
from convsmith.io.stored import WeightFileError
from convsmith.nn.device import to_host
from convsmith.nn.layer import Layer

_FORMATS: dict[str, ModuleType] = {".npz": npz, ".safetensors": safetensors}


def save_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Writes ``model.state_dict()`` to ``path``, which ends in .npz or .safetensors.

    A file that was there is replaced only once the new one is complete. Weights keep our layout.
    Raises ValueError for another ending, OSError where the file cannot be written.
    """
    target = Path(path)
    write = _format("save_weights", target).write
    arrays = {key: to_host(array) for key, array in model.state_arrays()}
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            write(file, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def load_weights(
    model: Layer, path: str | os.PathLike[str], strict: bool = True
) -> tuple[list[str], list[str]]:
    """Reads into ``model`` what ``save_weights`` wrote; returns missing and unexpected keys.

    With strict, there may be none of either. Nothing is unpickled, and sizes are compared with
    the model before any data is read. Raises WeightFileError, a ValueError, naming the file and
    what is wrong with it, the model then being unchanged; OSError where it cannot be opened.
    """
    target = Path(path)
    stored_arrays = _format("load_weights", target).stored_arrays
    with open(target, "rb") as file:
        try:
            stored = stored_arrays(file)
            model.check_state(stored, strict)
            wanted = dict(model.state_arrays())
            # Everything is read before anything is changed.
            state = {key: array.read() for key, array in stored.items() if key in wanted}
            missing = model.load_state_dict(state, strict=False)[0]
        except ValueError as error:
            raise WeightFileError(f"{target}: {error}") from error
    return missing, [key for key in stored if key not in wanted]


def _format(caller: str, path: Path) -> ModuleType:
    if path.suffix not in _FORMATS:
        raise ValueError(
            f"{caller}: path: got {str(path)!r}, wanted a name that ends in {' or '.join(_FORMATS)}"
        )
    return _FORMATS[path.suffix]
