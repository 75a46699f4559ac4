from __future__ import annotations

import numpy as np
import pytest

from convsmith.train import accuracy, top_5_accuracy, top_k_accuracy


def test_accuracy() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    assert accuracy(outputs, np.array([1, 1, 0])) == pytest.approx(2 / 3)
    assert accuracy(outputs.reshape(1, 3, 2), np.array([[1, 0, 0]])) == 1.0


def test_a_nan_is_never_a_hit() -> None:
    outputs = np.array([[np.nan, 1.0], [1.0, np.nan], [np.nan, np.nan], [1.0, 0.0]])
    assert accuracy(outputs, np.array([0, 1, 0, 0])) == 0.25


def test_top_k() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((50, 10))
    labels = rng.integers(0, 10, 50)
    order = np.argsort(-outputs, axis=1)
    for k in (1, 3, 5, 10):
        expected = np.mean([labels[i] in order[i, :k] for i in range(50)])
        assert top_k_accuracy(outputs, labels, k) == pytest.approx(expected)
    assert top_5_accuracy(outputs, labels) == top_k_accuracy(outputs, labels, 5)
    assert top_k_accuracy(outputs, labels, 1) == accuracy(outputs, labels)
    assert top_k_accuracy(outputs.reshape(5, 10, 10), labels.reshape(5, 10), 1) == accuracy(
        outputs, labels
    )
    assert top_k_accuracy(np.full((2, 3), np.nan), np.array([0, 1]), 2) == 0.0


def test_bad_arguments() -> None:
    outputs = np.zeros((2, 3))
    with pytest.raises(ValueError, match="labels: got shape"):
        accuracy(outputs, np.zeros(3, int))
    with pytest.raises(ValueError, match="at least one row"):
        accuracy(outputs[:0], np.zeros(0, int))
    with pytest.raises(TypeError, match="wanted integers"):
        accuracy(outputs, np.zeros(2))
    with pytest.raises(ValueError, match="k: got 5, wanted 1 to 3"):
        top_5_accuracy(outputs, np.zeros(2, int))
    with pytest.raises(ValueError, match="labels: got 0 to 3"):
        top_k_accuracy(outputs, np.array([0, 3]), 1)
