"""Real handwritten digits, small enough for a laptop and available without a download."""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from convsmith.ops.geometry import as_int, check_range
from convsmith.ops.shapes import Resample2dShape
from convsmith.ops.upsample2d import upsample_bilinear2d_forward

_SPLIT_SEED = 20240229  # any number does; this one never changes, so results can be compared
_TEST_SHARE = 0.2


def load_digits(
    size: int = 32,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """(x_train, y_train, x_test, y_test) of scikit-learn's 1,797 digits.

    x is float32 [N, size, size, 1] in [0, 1], the 8x8 originals resized bilinearly; y is int64
    [N], 0 to 9. A fifth of each class is for testing (359 in all), the same ones every time,
    whatever the seed; both parts keep the original order. Raises ImportError without
    scikit-learn, ValueError for a size below 1.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998
    (doi:10.24432/C50P49).
    """
    size = as_int("load_digits", "size", size)
    check_range("load_digits", "size", size, 1)
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(
            "load_digits: scikit-learn, which carries the digits, cannot be imported; install it "
            "with: pip install convsmith[demo]"
        ) from error
    digits = datasets.load_digits()
    x = np.ascontiguousarray(digits.images[..., np.newaxis] / 16.0, dtype=np.float32)
    y = digits.target.astype(np.int64)
    if size != x.shape[1]:
        x = upsample_bilinear2d_forward(x, Resample2dShape.infer(x.shape, size, op="load_digits"))
    test = _test_rows(y)
    return x[~test], y[~test], x[test], y[test]


def _test_rows(y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """A mask that is True for a fifth of each class."""
    rng = np.random.default_rng(_SPLIT_SEED)
    test = np.zeros(len(y), np.bool_)
    for label in range(10):
        rows = np.flatnonzero(y == label)
        test[rng.permutation(rows)[: round(_TEST_SHARE * len(rows))]] = True
    return test
