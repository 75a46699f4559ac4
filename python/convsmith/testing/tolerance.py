"""How far a float32 result may be from the float64 truth. One rule per kind of op.

exact       Integer fills of sums of products, every copy and every maximum: 0. The sums stay
            under 2^24, so float32 holds each partial sum and the order cannot matter.
dot_bound   Real fills of sums of products: u * B * min(n + 2, 4 + 1.5 sqrt(n)), with
            B = sum |a||b|, n the length of the sum, u = 2^-24. n + 2 is the proven worst case of
            recursive summation with two roundings to spare; 4 + 1.5 sqrt(n) is what rounding
            errors of random sign reach, with room (Higham and Mary 2019, probabilistic rounding
            error analysis). TF32 or a lost addend is off by hundreds of u * B.
smooth      exp, tanh, pow, sqrt and what is built of them (softmax, activations, local response
            normalisation): 1e-5 relative plus 1e-6 absolute. A polynomial exp good to 2 ulp with
            an argument up to 30 has 30 u = 2e-6 of relative error; this leaves a factor of five.
rounded     A few float32 operations one after another: count * u * magnitude.
normwise    Winograd only: ||err|| <= 1e-5 ||truth|| over the whole tensor.
stored      16-bit storage: the float32 rule for the rounded inputs, plus one rounding of the
            result: 2^-11 (float16) or 2^-8 (bfloat16) relative, half a step below the normal range.

A NaN where none is expected, a number where NaN is expected, a wrong infinity: an error of
infinite share, whatever the bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convsmith.testing.problem import NumpyArray

Float64 = npt.NDArray[np.float64]

U = 2.0**-24  # the unit roundoff of float32
RTOL = 1e-5
ATOL = 1e-6
WINOGRAD_NORMWISE = 1e-5


def dot_factor(length: int) -> float:
    """min(n + 2, 4 + 1.5 sqrt(n)): how many roundings a sum of n products may add up to."""
    return min(length + 2.0, 4.0 + 1.5 * math.sqrt(length))


def dot_bound(magnitude: Float64, length: int) -> Float64:
    """The rule for sums; `magnitude` is B, the same sum over absolute values."""
    return U * dot_factor(length) * magnitude


def rounded(magnitude: NumpyArray, count: float) -> Float64:
    """`count` float32 roundings of numbers no larger than `magnitude`."""
    return np.asarray(count * U * np.abs(magnitude), np.float64)


def smooth(expected: NumpyArray) -> Float64:
    """1e-5 relative, 1e-6 absolute; 0 where the truth is not finite (compared as it is)."""
    size = np.abs(expected)
    return np.where(np.isfinite(size), RTOL * size + ATOL, 0.0)


# Unit roundoff and smallest positive number of the 16-bit types.
_STORAGE = {"float16": (2.0**-11, 2.0**-24), "bfloat16": (2.0**-8, 2.0**-133)}


def stored(bound: NumpyArray | float, expected: NumpyArray, dtype: str) -> Float64:
    """The bound of a float32 result after it is stored as `dtype`, float16 or bfloat16.

    Copies and maxima (a bound of 0 everywhere) stay exact: the caller keeps their 0. The float32
    bound was stated for inputs before they were rounded, which can change a sum of magnitudes by
    a few parts in a thousand; a tenth more covers it.
    """
    roundoff, smallest = _STORAGE[dtype]
    size = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    passed = 1.1 * np.asarray(bound, np.float64) + 0.5 * smallest
    return np.asarray(passed + roundoff * (size + passed), np.float64)


# The steepest slope of each activation: how much it can enlarge an error of its argument.
_STEEPEST = {
    "identity": 1.0,
    "relu": 1.0,
    "leaky_relu": 1.0,
    "sigmoid": 0.25,
    "tanh": 1.0,
    "silu": 1.1,
    "hardswish": 1.5,
}
EXACT_ACTIVATIONS = ("identity", "relu", "leaky_relu")


def through_activation(bound: NumpyArray | float, expected: NumpyArray, kind: str) -> NumpyArray:
    """The bound after an activation; leaky_relu counts as exact: test slopes are powers of two."""
    passed = np.asarray(bound) * _STEEPEST[kind]
    return passed if kind in EXACT_ACTIVATIONS else passed + smooth(expected)


@dataclass(frozen=True)
class Comparison:
    """share: the worst |error| over its bound; at most 1 is good. index: where, None if empty."""

    share: float
    index: tuple[int, ...] | None
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.share <= 1.0  # False for NaN as well


def _describe(got: NumpyArray, expected: NumpyArray, index: tuple[int, ...]) -> str:
    return f"at {index}: got {got[index]!s}, expected {expected[index]!s}"


def _shares(got: Float64, expected: Float64, bound: Float64) -> Float64:
    # The default is failure; each line below pardons the elements it understands. Nothing is
    # ever decided by a maximum over errors that may be NaN.
    share = np.full(got.shape, np.inf)
    share[np.isnan(got) & np.isnan(expected)] = 0.0
    share[got == expected] = 0.0  # equal infinities and exact hits
    finite = np.isfinite(got) & np.isfinite(expected) & (got != expected) & (bound > 0)
    share[finite] = np.abs(got[finite] - expected[finite]) / bound[finite]
    return share


def compare(got: NumpyArray, expected: NumpyArray, bound: NumpyArray | float) -> Comparison:
    """The worst element of `got` against the truth.

    bound: the largest allowed |error|, an array or one number. Where it is 0 the result must
    equal the truth rounded to got's type (zeros of either sign are equal).
    """
    if got.shape != expected.shape:
        return Comparison(math.inf, None, f"got shape {got.shape}, expected {expected.shape}")
    if got.size == 0:
        return Comparison(0.0, None)
    bounds = np.broadcast_to(np.asarray(bound, np.float64), got.shape)
    with np.errstate(over="ignore"):
        stored = expected.astype(got.dtype).astype(np.float64)
    # A number too large for got's type is stored as infinity, whatever the bound.
    rounds = (bounds == 0) | np.isinf(stored)
    truth = np.where(rounds, stored, expected.astype(np.float64))
    share = _shares(got.astype(np.float64), truth, bounds)
    worst = np.unravel_index(int(np.argmax(share)), share.shape)
    index = tuple(int(i) for i in worst)
    return Comparison(float(share[index]), index, _describe(got, expected, index))


def compare_normwise(got: NumpyArray, expected: NumpyArray, limit: float) -> Comparison:
    """||got - expected|| over limit * ||expected||; any non-finite number in `got` fails."""
    if got.shape != expected.shape:
        return Comparison(math.inf, None, f"got shape {got.shape}, expected {expected.shape}")
    if got.size == 0:
        return Comparison(0.0, None)
    wide, truth = got.astype(np.float64), expected.astype(np.float64)
    if not np.isfinite(wide).all():
        first = np.argwhere(~np.isfinite(wide))[0]
        index = tuple(int(i) for i in first)
        return Comparison(math.inf, index, _describe(got, expected, index))
    error = np.abs(wide - truth)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    index = tuple(int(i) for i in worst)
    size = limit * float(np.linalg.norm(truth))
    total = float(np.linalg.norm(error))
    share = total / size if size > 0 else (0.0 if total == 0 else math.inf)
    return Comparison(share, index, _describe(got, expected, index))
