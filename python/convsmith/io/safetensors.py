"""The safetensors format: a JSON header with names, dtypes, shapes and offsets, then raw data.

Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from convsmith.io.stored import StoredArray, WeightFileError, bytes_of

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
# Products of unbounded shapes take quadratic time. No NumPy array goes beyond these.
_MAX_DIMENSIONS = 64
_MAX_INT = 2**63 - 1

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # widened to float32 when read
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name != "BF16"}


def write(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes ``arrays``, the widest types first, so that all of them are aligned."""
    header: dict[str, Any] = {}
    # Not ascontiguousarray, which would make a scalar a vector.
    stored = {
        key: np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        for key, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    }
    end = 0
    for key, array in stored.items():
        start, end = end, end + array.nbytes
        header[key] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in stored.values():
        file.write(array.tobytes())


def stored_arrays(file: IO[bytes]) -> dict[str, StoredArray]:
    """The arrays of a file, by key. Raises WeightFileError for anything out of order."""
    file_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    header_bytes = int.from_bytes(file.read(8), "little")
    if file_bytes < 8 or header_bytes > min(file_bytes - 8, _MAX_HEADER_BYTES):
        raise WeightFileError(
            f"not a safetensors file: got a header of {header_bytes} bytes in a file of "
            f"{file_bytes}, wanted it inside the file and at most {_MAX_HEADER_BYTES}"
        )
    try:
        header = json.loads(file.read(header_bytes), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise WeightFileError(f"not a safetensors file: its header: {error}") from error
    if not isinstance(header, dict):
        raise WeightFileError("not a safetensors file: its header is no JSON object")
    header.pop("__metadata__", None)
    data_start = 8 + header_bytes
    found = {}
    spans = []
    for key, entry in header.items():
        dtype_name, shape, (start, end) = _entry(key, entry)
        if end - start != bytes_of(shape, _DTYPES[dtype_name]):
            raise WeightFileError(
                f"{key}: got {end - start} bytes for shape {shape} of {dtype_name}, wanted "
                f"{bytes_of(shape, _DTYPES[dtype_name])}"
            )
        spans.append((start, end, key))
        found[key] = _stored(file, dtype_name, shape, data_start + start)
    at = 0
    for start, end, key in sorted(spans):
        if start != at:
            raise WeightFileError(
                f"{key}: its data begins at {start}, wanted {at}: no gap, no overlap"
            )
        at = end
    if data_start + at != file_bytes:
        raise WeightFileError(f"got {file_bytes} bytes, wanted {data_start + at} by the header")
    return found


def _stored(file: IO[bytes], dtype_name: str, shape: tuple[int, ...], start: int) -> StoredArray:
    dtype = _DTYPES[dtype_name]

    def read() -> NDArray[Any]:
        file.seek(start)
        data = file.read(bytes_of(shape, dtype))
        if len(data) != bytes_of(shape, dtype):
            raise WeightFileError("the file ended while it was read")
        array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape)
        if dtype_name == "BF16":
            # The upper half of a float32.
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array

    return StoredArray(shape, np.dtype("f4") if dtype_name == "BF16" else dtype, read)


def _entry(key: str, entry: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """(dtype name, shape, (start, end)) of a header entry, each checked by itself."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightFileError(
            f"{key}: got {reprlib.repr(entry)}, wanted dtype, shape and data_offsets"
        )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise WeightFileError(
            f"{key}: dtype: got {reprlib.repr(dtype)}, wanted one of {', '.join(_DTYPES)}"
        )
    for name, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or len(numbers) > _MAX_DIMENSIONS:
            raise WeightFileError(
                f"{key}: {name}: got {reprlib.repr(numbers)}, wanted a list of at most "
                f"{_MAX_DIMENSIONS} ints"
            )
        if not all(type(n) is int and 0 <= n <= _MAX_INT for n in numbers):
            raise WeightFileError(
                f"{key}: {name}: got {reprlib.repr(numbers)}, wanted ints from 0 to 2^63 - 1"
            )
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise WeightFileError(f"{key}: data_offsets: got {offsets}, wanted [start, end]")
    return dtype, tuple(shape), (offsets[0], offsets[1])


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} is there twice")
        result[key] = value
    return result
