"""The rules catch what they are for, and never lose a NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convsmith.testing.tolerance import (
    ATOL,
    RTOL,
    U,
    compare,
    compare_normwise,
    dot_bound,
    dot_factor,
    rounded,
    smooth,
    through_activation,
)

F32 = np.float32


def test_dot_factor_is_the_smaller_of_both_rules() -> None:
    assert dot_factor(1) == 3
    assert dot_factor(4) == 6
    assert dot_factor(100) == 19
    assert dot_factor(10_000) == 154
    assert dot_bound(np.array([2.0]), 1)[0] == 6 * U


def test_equal_arrays_have_no_error() -> None:
    found = compare(np.ones((2, 3), F32), np.ones((2, 3)), 0.0)
    assert found.ok and found.share == 0


def test_share_and_place_of_the_worst_element() -> None:
    expected = np.zeros((2, 3))
    got = np.zeros((2, 3), F32)
    got[1, 2], got[0, 1] = 0.5, 0.25
    found = compare(got, expected, 1.0)
    assert (found.share, found.index, found.ok) == (0.5, (1, 2), True)
    found = compare(got, expected, np.full((2, 3), 0.25))
    assert (found.share, found.index, found.ok) == (2.0, (1, 2), False)
    assert "got 0.5, expected 0.0" in found.message


@pytest.mark.parametrize("bound", [0.0, 1.0, 1e30])
def test_nan_fails_unless_expected(bound: float) -> None:
    nan = np.array([1.0, np.nan, 1.0])
    one = np.ones(3)
    assert not compare(nan.astype(F32), one, bound).ok
    assert compare(nan.astype(F32), one, bound).index == (1,)
    assert not compare(one.astype(F32), nan, bound).ok
    assert compare(nan.astype(F32), nan, bound).ok
    assert not compare(np.array([np.nan, 5], F32), np.array([np.nan, 1.0]), 0.0).ok


def test_a_nan_bound_pardons_nothing() -> None:
    assert not compare(np.array([2.0], F32), np.array([1.0]), np.array([np.nan])).ok


def test_infinities_must_match() -> None:
    inf = np.array([np.inf, -np.inf])
    assert compare(inf.astype(F32), inf, 0.0).ok
    assert not compare(inf.astype(F32), -inf, 1e30).ok
    assert not compare(np.array([np.inf], F32), np.array([1.0]), 1e30).ok
    assert not compare(np.array([1.0], F32), np.array([np.inf]), np.inf).ok


def test_bound_zero_means_the_truth_rounded_to_float32() -> None:
    third = np.array([1 / 3])
    assert compare(third.astype(F32), third, 0.0).ok
    assert not compare(np.nextafter(third.astype(F32), F32(1)), third, 0.0).ok


def test_shapes_must_match_and_empty_is_good() -> None:
    assert not compare(np.zeros((1, 2), F32), np.zeros((2, 1)), 1.0).ok
    assert not compare_normwise(np.zeros((1, 2), F32), np.zeros((2, 1)), 1.0).ok
    assert compare(np.zeros((0, 2), F32), np.zeros((0, 2)), 0.0).ok
    assert compare_normwise(np.zeros((0, 2), F32), np.zeros((0, 2)), 0.0).ok


def test_integers_are_compared_as_integers() -> None:
    assert compare(np.array([3, 255], np.uint8), np.array([3, 255], np.uint8), 0.0).ok
    assert not compare(np.array([3, 254], np.uint8), np.array([3, 255], np.uint8), 0.0).ok
    assert not compare(np.array([-1, 4], np.int32), np.array([-1, 5], np.int32), 0.0).ok


def test_normwise() -> None:
    truth = np.array([3.0, 4.0])
    assert compare_normwise(np.array([3, 4.5], F32), truth, 0.1).share == pytest.approx(1.0)
    assert not compare_normwise(np.array([3, 4.6], F32), truth, 0.1).ok
    assert not compare_normwise(np.array([np.nan, 4], F32), truth, 0.1).ok
    assert compare_normwise(np.zeros(2, F32), np.zeros(2), 0.1).ok
    assert compare_normwise(np.ones(2, F32), np.zeros(2), 0.1).share == math.inf


def test_smooth_and_rounded_and_activations() -> None:
    np.testing.assert_allclose(smooth(np.array([2.0, -np.inf])), [2 * RTOL + ATOL, 0.0])
    np.testing.assert_allclose(rounded(np.array([-2.0]), 3), [6 * U])
    assert through_activation(1.0, np.zeros(1), "relu") == 1.0
    assert through_activation(1.0, np.zeros(1), "silu") == pytest.approx(1.1 + ATOL)


def test_the_dot_rule_admits_float32_and_rejects_tf32() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 576)).astype(F32)
    b = rng.standard_normal((576, 30)).astype(F32)
    truth = a.astype(float) @ b.astype(float)
    bound = dot_bound(np.abs(a).astype(float) @ np.abs(b).astype(float), 576)
    one_by_one = np.zeros((40, 30), F32)
    for k in range(576):
        one_by_one += a[:, k : k + 1] * b[k : k + 1]
    assert compare(one_by_one, truth, bound).share < 0.5
    short = [(array.view(np.uint32) & 0xFFFFE000).view(F32) for array in (a, b)]
    assert compare(short[0] @ short[1], truth, bound).share > 5
    missing = compare((a[:, :-1] @ b[:-1]).astype(F32), truth, bound)
    assert missing.share > 1000
