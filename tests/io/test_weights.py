from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convsmith
from convsmith import nn
from convsmith.io import WeightFileError, load_weights, save_weights


def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def same(one: nn.Layer, other: nn.Layer) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    ours, other = model(), model()
    ours.forward(np.ones((2, 4, 4, 1), np.float32), training=True)
    save_weights(ours, path)
    assert not same(ours, other)
    assert load_weights(other, str(path)) == ([], [])
    assert same(ours, other)
    first = path.read_bytes()
    save_weights(other, path)
    assert path.read_bytes() == first
    assert os.listdir(tmp_path) == [path.name]


def test_others_read_what_we_write(tmp_path: Path) -> None:
    ours = model()
    state = ours.state_dict()
    save_weights(ours, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz", allow_pickle=False) as loaded:
        assert list(loaded) == list(state)
        assert all(np.array_equal(loaded[key], state[key]) for key in state)
    package = pytest.importorskip("safetensors.numpy")
    save_weights(ours, tmp_path / "w.safetensors")
    loaded = package.load_file(tmp_path / "w.safetensors")
    assert loaded.keys() == state.keys()
    assert all(np.array_equal(loaded[key], state[key]) for key in state)


def test_we_read_what_others_write(tmp_path: Path) -> None:
    ours, other = model(), model()
    state = ours.state_dict()
    state["0.weight"] = np.asfortranarray(state["0.weight"])
    np.savez_compressed(tmp_path / "w.npz", **state)
    load_weights(other, tmp_path / "w.npz")
    assert same(ours, other)
    package = pytest.importorskip("safetensors.numpy")
    package.save_file(ours.state_dict(), tmp_path / "w.safetensors", metadata={"format": "pt"})
    other = model()
    load_weights(other, tmp_path / "w.safetensors")
    assert same(ours, other)


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    layer = nn.Linear(2, 1, bias=False)
    write_safetensors(
        tmp_path / "w.safetensors",
        {"weight": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}},
        np.array([0x3FC0, 0xC000], "<u2").tobytes(),
    )
    load_weights(layer, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(layer.weight.data, [[1.5, -2.0]])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_of_another_model(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    ours = nn.Sequential({"fc": nn.Linear(4, 3), "old": nn.Linear(3, 3)})
    other = nn.Sequential({"fc": nn.Linear(5, 3), "new": nn.Linear(3, 3)})
    before = other.state_dict()
    save_weights(ours, path)
    with pytest.raises(WeightFileError) as caught:
        load_weights(other, path)
    for part in (str(path), "missing: new.weight", "unexpected: old.bias", "fc.weight: got shape"):
        assert part in str(caught.value)
    assert all(np.array_equal(before[key], value) for key, value in other.state_dict().items())
    fits = nn.Sequential({"fc": nn.Linear(4, 3), "new": nn.Linear(3, 3)})
    assert load_weights(fits, path, strict=False) == (
        ["new.weight", "new.bias"],
        ["old.weight", "old.bias"],
    )
    np.testing.assert_array_equal(fits.state_dict()["fc.weight"], ours.state_dict()["fc.weight"])


def test_names_and_missing_files(tmp_path: Path) -> None:
    for act in (save_weights, load_weights):
        with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
            act(model(), tmp_path / "weights.pt")
    with pytest.raises(FileNotFoundError):
        load_weights(model(), tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        save_weights(model(), tmp_path / "none" / "w.npz")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.npz"
    save_weights(model(), path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        save_weights(model(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.npz"]


# Damaged and hostile files. Each is for a Linear(2, 1, bias=False), state {"weight": [1, 2]}.


def write_safetensors(path: Path, header: Any, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(**changes: Any) -> dict[str, Any]:
    good = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
    return {"weight": {**good, **changes}}


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
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


def test_the_error_is_a_value_error() -> None:
    assert issubclass(convsmith.io.WeightFileError, ValueError)
