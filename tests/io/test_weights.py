from __future__ import annotations

import json
import os
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


def write_safetensors(path: Path, header: Any, data: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_the_error_is_a_value_error() -> None:
    assert issubclass(convsmith.io.WeightFileError, ValueError)
