from __future__ import annotations

import sys

import numpy as np
import pytest

import convsmith
from convsmith.data import load_digits


def test_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    x_train, y_train, x_test, y_test = load_digits()
    assert x_train.shape == (1438, 32, 32, 1)
    assert x_test.shape == (359, 32, 32, 1)
    assert y_train.shape == (1438,)
    assert y_test.shape == (359,)
    assert x_train.dtype == np.float32
    assert y_train.dtype == np.int64
    assert x_train.flags.c_contiguous
    assert x_train.min() == 0
    assert x_train.max() == 1
    counts = np.bincount(np.concatenate([y_train, y_test]))
    np.testing.assert_array_equal(np.bincount(y_test), np.round(0.2 * counts))
    # Together they are all of the originals.
    small = load_digits(8)
    sums = np.sort(np.concatenate([small[0], small[2]]).sum(axis=(1, 2, 3)))
    images = datasets.load_digits().images
    np.testing.assert_allclose(sums, np.sort(images.sum(axis=(1, 2))) / 16, rtol=1e-6)


def test_the_split_never_changes() -> None:
    pytest.importorskip("sklearn")
    convsmith.seed(1)
    first = load_digits(8)
    convsmith.seed(2)
    second = load_digits(8)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[3][:10].tolist() == [1, 3, 5, 2, 4, 5, 8, 3, 9, 5]


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install convsmith\[demo\]"):
        load_digits()


def test_bad_size() -> None:
    with pytest.raises(ValueError, match="size: got 0"):
        load_digits(0)
