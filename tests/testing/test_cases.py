"""The case list holds what it claims to hold, and its integers stay exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convsmith.backends import OPS, reference
from convsmith.ops.shapes import Conv2dShape, Pool2dShape
from convsmith.testing.cases import (
    Conv2dCase,
    GemmCase,
    Pool2dCase,
    all_cases,
    cases_for,
)
from convsmith.testing.conv2d_cases import CHANNELS, MAX_MACS
from convsmith.testing.problem import Problem, evaluate, map_arrays, values

CONVOLUTIONS = [case.shape for case in all_cases() if isinstance(case, Conv2dCase)]
POOLS = [case for case in all_cases() if isinstance(case, Pool2dCase)]
PRODUCTS = [case for case in all_cases() if isinstance(case, GemmCase)]


def test_there_are_enough_cases_for_every_op() -> None:
    assert len(CONVOLUTIONS) >= 260
    assert len(POOLS) >= 160
    assert len(PRODUCTS) >= 200
    for op in OPS:
        assert len(cases_for(op)) >= 8, op


def test_ids_are_unique_and_the_list_is_the_same_every_time() -> None:
    ids = [case.id for case in all_cases()]
    assert len(set(ids)) == len(ids)
    assert all(" " not in name and len(name) < 120 for name in ids)
    all_cases.cache_clear()
    assert [case.id for case in all_cases()] == ids
    assert [case.id for case in all_cases(7)] != ids


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_seed_gives_a_list(seed: int) -> None:
    assert len(all_cases(seed)) > 900


def window(s: Conv2dShape | Pool2dShape) -> tuple[int, int]:
    return (s.kernel_h - 1) * s.dilation_h + 1, (s.kernel_w - 1) * s.dilation_w + 1


def rest(s: Conv2dShape | Pool2dShape) -> bool:
    height = s.in_h + s.pad_top + s.pad_bottom - window(s)[0]
    return height % s.stride_h != 0


def uneven(s: Conv2dShape | Pool2dShape) -> bool:
    return s.pad_top != s.pad_bottom and s.pad_left != s.pad_right


def wide_padding(s: Conv2dShape | Pool2dShape) -> bool:
    return max(s.pad_top, s.pad_bottom) >= s.kernel_h and max(s.pad_left, s.pad_right) >= s.kernel_w


CONVOLUTION_KINDS: dict[str, tuple[int, Callable[[Conv2dShape], bool]]] = {
    "1x1": (30, lambda s: s.kernel_h == s.kernel_w == 1),
    "1x1 with stride": (5, lambda s: s.kernel_h == s.kernel_w == 1 and s.stride_h > 1),
    "1x1 with padding": (8, lambda s: s.kernel_h == s.kernel_w == 1 and s.pad_top > 0),
    "3x3 stride 1": (40, lambda s: (s.kernel_h, s.kernel_w, s.stride_h) == (3, 3, 1)),
    "odd sizes": (60, lambda s: s.in_h % 2 == 1 and s.in_w % 2 == 1),
    "one pixel": (4, lambda s: s.in_h == s.in_w == 1),
    "one pixel out": (8, lambda s: s.out_h == s.out_w == 1),
    "kernel larger than input": (10, lambda s: window(s)[0] > s.in_h and window(s)[1] > s.in_w),
    "stride larger than kernel": (
        10,
        lambda s: s.stride_h > s.kernel_h and s.stride_w > s.kernel_w,
    ),
    "stride leaves a rest": (30, rest),
    "padding as wide as kernel": (10, wide_padding),
    "uneven padding": (30, uneven),
    "very wide padding": (2, lambda s: s.pad_top >= 20),
    "dilation": (20, lambda s: s.dilation_h > 1),
    "dilation with stride": (15, lambda s: s.dilation_h > 1 and s.stride_h > 1),
    "h and w differ everywhere": (
        20,
        lambda s: s.in_h != s.in_w and s.kernel_h != s.kernel_w and s.stride_h != s.stride_w,
    ),
    "groups": (30, lambda s: 1 < s.groups < s.in_c),
    "depthwise": (8, lambda s: s.groups == s.in_c == s.out_c > 1),
    "depthwise with multiplier": (6, lambda s: s.groups == s.in_c > 1 and s.out_c > s.in_c),
    "empty batch": (3, lambda s: s.batch == 0),
    "deep sum": (8, lambda s: s.kernel_h * s.kernel_w * s.in_c // s.groups > 256),
    "very deep sum": (2, lambda s: s.kernel_h * s.kernel_w * s.in_c // s.groups > 1024),
}


@pytest.mark.parametrize("kind", CONVOLUTION_KINDS)
def test_convolution_kinds_occur(kind: str) -> None:
    least, belongs = CONVOLUTION_KINDS[kind]
    assert sum(map(belongs, CONVOLUTIONS)) >= least


def test_convolution_widths_and_heights_occur() -> None:
    assert {s.in_c for s in CONVOLUTIONS} >= set(CHANNELS)
    assert {s.out_c for s in CONVOLUTIONS} >= set(CHANNELS)
    rows = {s.batch * s.out_h * s.out_w for s in CONVOLUTIONS}
    assert rows >= set(range(1, 17)) | {23, 24, 25, 31, 33}
    assert max(s.macs for s in CONVOLUTIONS) <= MAX_MACS


POOL_KINDS: dict[str, tuple[int, Callable[[Pool2dShape], bool]]] = {
    "overlapping": (20, lambda s: s.stride_h < s.kernel_h and s.stride_w < s.kernel_w),
    "stride larger than kernel": (
        12,
        lambda s: s.stride_h > s.kernel_h and s.stride_w > s.kernel_w,
    ),
    "stride leaves a rest": (20, rest),
    "padding as wide as kernel": (10, wide_padding),
    "uneven padding": (20, uneven),
    "kernel larger than input": (8, lambda s: window(s)[0] > s.in_h and window(s)[1] > s.in_w),
    "dilation": (12, lambda s: s.dilation_h > 1 or s.dilation_w > 1),
    "more than 255 taps": (4, lambda s: s.kernel_h * s.kernel_w > 255),
    "just 255 taps": (1, lambda s: s.kernel_h * s.kernel_w == 255),
    "empty batch": (2, lambda s: s.batch == 0),
    "one channel": (4, lambda s: s.channels == 1),
    "window over the edge": (
        8,
        lambda s: (s.out_h - 1) * s.stride_h + window(s)[0] > s.in_h + s.pad_top + s.pad_bottom,
    ),
}


@pytest.mark.parametrize("kind", POOL_KINDS)
def test_pool_kinds_occur(kind: str) -> None:
    least, belongs = POOL_KINDS[kind]
    assert sum(belongs(case.shape) for case in POOLS) >= least


def test_pool_windows_without_an_element_occur() -> None:
    """Counted in results: sentinels in argmax, and averages of nothing."""
    lost = averages = 0
    for case in POOLS:
        argmax = evaluate(reference, case.problem("max_pool2d_forward", "real"))["argmax"]
        lost += bool((argmax == (255 if argmax.dtype == np.uint8 else -1)).any())
        averages += not case.count_include_pad and "avg_pool2d_forward" in case.ops
    assert lost >= 10
    assert averages >= 30
    assert sum(case.special for case in POOLS) >= 20


def test_products_cover_transpositions_scaling_and_epilogues() -> None:
    for a in (False, True):
        for b in (False, True):
            same = [c for c in PRODUCTS if (c.shape.transpose_a, c.shape.transpose_b) == (a, b)]
            assert len(same) >= 40
            assert max(c.shape.gemm_k for c in same) >= 300
            assert min(c.shape.gemm_m for c in same) == 0
            assert min(c.shape.gemm_k for c in same) == 0
    assert {c.beta for c in PRODUCTS} == {0.0, 1.0, -0.5, 2.0}
    assert {c.alpha for c in PRODUCTS} == {0.0, 1.0, -1.0, 0.5, 1.5}
    assert len({(c.activation, c.bias, c.residual) for c in PRODUCTS}) == 28


def test_convolution_epilogues_occur_in_full() -> None:
    cases = [case for case in all_cases() if isinstance(case, Conv2dCase)]
    assert len({(c.activation, c.bias, c.residual) for c in cases}) == 28


@pytest.mark.parametrize(
    "op", ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight", "gemm"]
)
def test_integer_sums_stay_exact(op: str) -> None:
    """The sum of absolute values bounds every partial sum, in whatever order it is formed."""
    bits = 0.0
    for case in cases_for(op):
        problem = case.problem(op, "integer")
        for argument in problem.arguments:
            if isinstance(argument, np.ndarray):
                np.testing.assert_array_equal(argument, np.rint(argument))
                bits = max(bits, float(np.abs(argument).max(initial=0)))
        largest = evaluate(reference, map_arrays(absolute(problem), np.abs))
        for value in largest.values():
            assert np.abs(value).max(initial=0) <= 2**24, case.id
    assert bits > 2047  # wider than TF32's 11 bits


def absolute(problem: Problem) -> Problem:
    keywords = {name: abs(value) for name, value in problem.keywords.items()}
    return Problem(problem.op, problem.arguments, problem.bounds, keywords, problem.shape)


def test_inputs_depend_on_the_case_alone() -> None:
    case = cases_for("conv2d_forward")[5]
    first, second = (case.problem("conv2d_forward", "real").arguments[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = cases_for("conv2d_forward")[6].problem("conv2d_forward", "real").arguments[0]
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_unknown_fills_and_ops_are_refused() -> None:
    with pytest.raises(ValueError, match="fill: got 'zeros'"):
        values(np.random.default_rng(0), "zeros", (1,), 1)
    for op in OPS:
        case = cases_for(op)[0]
        wrong = "gemm" if op != "gemm" else "add"
        with pytest.raises(ValueError, match="op: got"):
            case.problem(wrong, case.fills[0])
        with pytest.raises(ValueError, match="fill: got 'zeros'"):
            case.problem(op, "zeros")
