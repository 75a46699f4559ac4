"""Damaged and hostile files. Each is for a Linear(2, 1, bias=False), state {"weight": [1, 2]}."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convsmith import nn
from convsmith.io import WeightFileError, load_weights, save_weights


def entry(**changes: Any) -> dict[str, Any]:
    good = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
    return {"weight": {**good, **changes}}


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.array([print, 1], dtype=object))
    return buffer.getvalue()


def truncated() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.ones((1, 2), np.float32))
    return buffer.getvalue()[:-30]


def flipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.full((1, 2), 1.5, np.float32))
    data = bytearray(buffer.getvalue())
    at = data.index(np.full((1, 2), 1.5, np.float32).tobytes())
    data[at] ^= 1
    return bytes(data)


F4 = "{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"


def npy2_bytes(header_bytes: int, header: bytes) -> bytes:
    return b"\x93NUMPY\x02\x00" + header_bytes.to_bytes(4, "little") + header


GOOD = F4.format(shape=(1, 2))

BAD_NPZ: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"not an archive at all",
    "a pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "object dtype": pickled,
    "truncated": truncated,
    "a flipped bit": flipped,
    "no array": lambda: zipped({"readme.txt": b"hello"}),
    "no header": lambda: zipped({"weight.npy": b""}),
    "code for a header": lambda: zipped({"weight.npy": npy_bytes("__import__('os')")}),
    "2^64 elements": lambda: zipped({"weight.npy": npy_bytes(F4.format(shape=(2**64, 2**64)))}),
    "negative": lambda: zipped({"weight.npy": npy_bytes(F4.format(shape=(-1, -2)), b"\0" * 8)}),
    "too short": lambda: zipped({"weight.npy": npy_bytes(F4.format(shape=(1, 2)), b"\0" * 7)}),
    "bomb": lambda: zipped({"weight.npy": npy_bytes(F4.format(shape=(1, 2)), b"\0" * 2**24)}),
    "strings": lambda: zipped(
        {"weight.npy": npy_bytes(F4.format(shape=(1, 2)).replace("<f4", "<U1"), b"\0" * 8)}
    ),
    "bzip2": lambda: zipped({"weight.npy": npy_bytes(GOOD, b"\0" * 8)}, zipfile.ZIP_BZIP2),
    "lzma": lambda: zipped({"weight.npy": npy_bytes(GOOD, b"\0" * 8)}, zipfile.ZIP_LZMA),
    "header of 2^32": lambda: zipped({"weight.npy": npy2_bytes(2**32 - 1, b" " * 2**24)}),
    "header of 10,001": lambda: zipped({"weight.npy": npy2_bytes(10_001, b" " * 10_001)}),
    "header cut": lambda: zipped({"weight.npy": npy2_bytes(100, b"{'descr':")}),
    "open parenthesis": lambda: zipped({"weight.npy": npy_bytes("{'descr': (")}),
    "a list for a key": lambda: zipped({"weight.npy": npy_bytes("{[]: 1}")}),
    "a product": lambda: zipped({"weight.npy": npy_bytes(GOOD.replace("(1, 2)", "(1,)*9"))}),
    "nested": lambda: zipped({"weight.npy": npy2_bytes(9000, b"(" * 9000)}),
    "signs": lambda: zipped({"weight.npy": npy2_bytes(9000, b"-" * 8999 + b"1")}),
    "a NUL": lambda: zipped({"weight.npy": npy_bytes("{'descr': '\0'}")}),
    "no such dtype": lambda: zipped({"weight.npy": npy_bytes(GOOD.replace("<f4", "<f3"))}),
    "descr a list": lambda: zipped({"weight.npy": npy_bytes(GOOD.replace("'<f4'", "[1]"))}),
    "3,000 dimensions": lambda: zipped(
        {"weight.npy": npy2_bytes(9100, GOOD.replace("(1, 2)", "1, " * 3000).encode().ljust(9100))}
    ),
    "version 9": lambda: zipped({"weight.npy": b"\x93NUMPY\x09\x00" + b"\0" * 100}),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_bad_npz(tmp_path: Path, name: str) -> None:
    check_refused(tmp_path / "w.npz", BAD_NPZ[name]())


def header_of(length: int, rest: bytes = b"{}") -> bytes:
    return length.to_bytes(8, "little") + rest


def as_file(header: Any, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


BAD_SAFETENSORS: dict[str, bytes] = {
    "empty": b"",
    "7 bytes": b"\0" * 7,
    "header of 2^63": header_of(2**63),
    "header past the end": header_of(3),
    "no JSON": as_file(b"{oops}"),
    "no text": as_file(b"\xff\xfe\xfd"),
    "deep JSON": as_file(b"[" * 100_000),
    "no object": as_file(b"[1, 2]"),
    "duplicate": as_file(
        b'{"weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
        b'"weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}'
    ),
    "no entry": as_file({"weight": 3}),
    "a field too many": as_file(entry(extra=1)),
    "unknown dtype": as_file(entry(dtype="F31")),
    "dtype a list": as_file(entry(dtype=["F32"])),
    "offsets reversed": as_file(entry(data_offsets=[8, 0])),
    "offsets negative": as_file(entry(data_offsets=[-8, 0])),
    "offsets past the end": as_file(entry(data_offsets=[8, 16])),
    "offsets not of the shape": as_file(entry(data_offsets=[0, 4])),
    "three offsets": as_file(entry(data_offsets=[0, 4, 8])),
    "a float": as_file(entry(shape=[1.0, 2])),
    "a bool": as_file(entry(shape=[True, 2])),
    "negative shape": as_file(entry(shape=[-1, -2])),
    "2^64 elements": as_file(entry(shape=[2**32, 2**32])),
    "65 dimensions": as_file(entry(shape=[1] * 64 + [2])),
    "a dimension of 2^63": as_file(entry(shape=[2**63, 0])),
    "a million dimensions": as_file(entry(shape=[2**62] * 10**6)),
    "shape no list": as_file(entry(shape="12")),
    "hole": as_file(entry(data_offsets=[4, 12]), b"\0" * 12),
    "data after the end": as_file(entry(), b"\0" * 9),
    "data missing": as_file(entry(), b"\0" * 7),
    "overlap": as_file({**entry(), "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
}


@pytest.mark.parametrize("name", BAD_SAFETENSORS)
def test_bad_safetensors(tmp_path: Path, name: str) -> None:
    check_refused(tmp_path / "w.safetensors", BAD_SAFETENSORS[name])


def check_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    layer = nn.Linear(2, 1, bias=False)
    before = layer.weight.data.copy()
    with pytest.raises(WeightFileError) as caught:
        load_weights(layer, path)
    assert str(path) in str(caught.value)
    with pytest.raises(WeightFileError):
        load_weights(layer, path, strict=False)
    np.testing.assert_array_equal(layer.weight.data, before)


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """Deflate packs zeros a thousand times; a forged size in the directory hides them."""
    path = tmp_path / "w.npz"
    inside = npy_bytes(GOOD, b"\0" * 2**26)
    data = bytearray(zipped({"weight.npy": inside}))
    true, claimed = len(inside).to_bytes(4, "little"), (128 + 8).to_bytes(4, "little")
    at = data.rindex(true)
    data[at : at + 4] = claimed
    path.write_bytes(bytes(data))
    bomb_header = zipped({"weight.npy": npy2_bytes(2**32 - 1, b" " * 2**26)})
    (tmp_path / "header.npz").write_bytes(bomb_header)
    tracemalloc.start()
    for name in ("w.npz", "header.npz"):
        with pytest.raises(WeightFileError):
            load_weights(nn.Linear(2, 1, bias=False), tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_hostile_shape_takes_no_time(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(as_file(entry(shape=[2**62] * 10**6)))
    start = time.process_time()
    with pytest.raises(WeightFileError, match=r"weight: shape: got .* at most 64"):
        load_weights(nn.Linear(2, 1, bias=False), path)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("name", ["w.npz", "packed.npz", "w.safetensors"])
def test_mutations_load_or_raise_our_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    layer = nn.Linear(2, 1, bias=False)
    save_weights(layer, path)
    if name == "packed.npz":
        np.savez_compressed(path, **layer.state_dict())
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        kind = int(rng.integers(4))
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(data)))
            if kind == 0:
                data[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                data[at] = int(rng.integers(256))
            elif kind == 2:
                del data[at : at + int(rng.integers(1, 9))]
            else:
                data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        path.write_bytes(bytes(data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a header in Python 2's spelling, for one
            try:
                load_weights(layer, path)
            except WeightFileError:
                refused += 1
    assert refused > 100
