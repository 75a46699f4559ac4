from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convsmith
from convsmith.data import Batches

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def test_in_order() -> None:
    batches = Batches(X, Y, batch_size=4)
    assert len(batches) == 3
    for _ in range(2):  # again and again
        parts = list(batches)
        assert [len(y) for _, y in parts] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), X)
        np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), Y)
    assert np.shares_memory(parts[0][0], X)


def test_drop_last_and_no_y() -> None:
    batches = Batches(X, batch_size=4, drop_last=True)
    parts = list(batches)
    assert len(batches) == len(parts) == 2
    assert all(y is None for _, y in parts)
    assert list(Batches(X[:0], batch_size=4)) == []


def test_shuffle_follows_the_seed_and_keeps_pairs() -> None:
    batches = Batches(X, Y, batch_size=3, shuffle=True)

    def labels() -> list[int]:
        found = []
        for x, y in batches:
            assert x.flags.c_contiguous
            np.testing.assert_array_equal(x[:, 0], 2 * y)
            found += y.tolist()
        return found

    convsmith.seed(5)
    first, second = labels(), labels()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    convsmith.seed(5)
    assert labels() == first


def test_batches_of_strided_arrays_and_files_are_contiguous(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(on_disk, np.memmap)
    for x in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], on_disk):
        for shuffle in (False, True):
            for rows, labels in Batches(x, Y, batch_size=4, shuffle=shuffle):
                assert type(rows) is np.ndarray and rows.flags.c_contiguous
                np.testing.assert_array_equal(rows, X[labels])


def test_what_is_no_array() -> None:
    with pytest.raises(TypeError, match=r"Batches: x: got a builtins\.list"):
        Batches(X.tolist(), Y)
    with pytest.raises(TypeError, match=r"Batches: y: got a builtins\.list"):
        Batches(X, Y.tolist())


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        Batches(X, Y[:5])
    with pytest.raises(ValueError, match="batch_size: got 0"):
        Batches(X, Y, batch_size=0)
    with pytest.raises(TypeError, match="batch_size"):
        Batches(X, Y, batch_size=2.5)  # type: ignore[arg-type]
