"""The reference against plain Python loops, and what it promises beyond arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.backends import OPS, reference
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape
from convsmith.testing import loops
from convsmith.testing.cases import cases_for
from convsmith.testing.problem import evaluate

LIMIT = 3000  # scalar steps: plain loops are slow


@pytest.mark.parametrize("op", OPS)
def test_equals_plain_loops(op: str) -> None:
    cases = [case for case in cases_for(op) if case.cost <= LIMIT]
    assert len(cases) >= 5
    for case in cases:
        for fill in case.fills:
            problem = case.problem(op, fill)
            ours, theirs = evaluate(reference, problem), evaluate(loops, problem)
            for name, value in ours.items():
                # Both in float64; the sums of integer fills reach 2^24.
                np.testing.assert_allclose(
                    value, theirs[name], rtol=1e-12, atol=1e-12, err_msg=f"{case.id} {fill} {name}"
                )


def test_every_op_has_a_function_and_is_supported_in_three_types() -> None:
    for op in OPS:
        assert callable(getattr(reference, op))
        assert reference.algorithms(op, np.float32) == ("direct",)
        for dtype in (np.float16, np.float32, np.float64):
            assert reference.supports(op, dtype)
        assert not reference.supports(op, np.int32)
    assert not reference.supports("conv3d_forward", np.float32)
    assert reference.algorithms("conv3d_forward", np.float32) == ()
    assert reference.unavailable_reason() is None
    assert reference.empty((2, 3), np.float16).dtype == np.float16


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_results_are_rounded_once(dtype: type) -> None:
    rng = np.random.default_rng(0)
    shape = Conv2dShape.infer((2, 6, 5, 40), (3, 3, 3, 40), padding=1)
    x = rng.standard_normal(shape.x_shape).astype(dtype)
    weight = rng.standard_normal(shape.weight_shape).astype(dtype)
    narrow, wide = np.empty(shape.y_shape, dtype), np.empty(shape.y_shape)
    reference.conv2d_forward(x, weight, narrow, shape, Epilogue())
    reference.conv2d_forward(
        x.astype(np.float64), weight.astype(np.float64), wide, shape, Epilogue()
    )
    np.testing.assert_array_equal(narrow, wide.astype(dtype))


def test_strided_views_are_read_and_written_right() -> None:
    rng = np.random.default_rng(1)
    shape = Conv2dShape.infer((2, 5, 5, 5), (5, 3, 3, 5), stride=2, padding=1)
    x = rng.standard_normal((2, 5, 5, 10))[..., ::2]
    weight = rng.standard_normal((5, 3, 3, 5)).transpose(3, 1, 2, 0)
    expected, y = np.empty(shape.y_shape), np.empty(shape.y_shape[::-1]).T
    reference.conv2d_forward(x.copy(), weight.copy(), expected, shape, Epilogue())
    reference.conv2d_forward(x, weight, y, shape, Epilogue())
    np.testing.assert_array_equal(y, expected)


def test_unknown_names_are_refused() -> None:
    x = np.ones((1, 2, 2, 1))
    shape = Conv2dShape.infer(x.shape, (1, 1, 1, 1))
    weight, y = np.ones((1, 1, 1, 1)), np.empty(x.shape)
    with pytest.raises(ValueError, match="conv2d_forward: algorithm='winograd'"):
        reference.conv2d_forward(x, weight, y, shape, Epilogue(), algorithm="winograd")
    with pytest.raises(ValueError, match="conv2d_backward_input: algorithm"):
        reference.conv2d_backward_input(y, weight, x, shape, algorithm="fft")
    with pytest.raises(ValueError, match="conv2d_backward_weight: algorithm"):
        reference.conv2d_backward_weight(x, x, weight, shape, algorithm="fft")
    with pytest.raises(ValueError, match="kind='gelu'"):
        reference.activation_forward(x, y, kind="gelu")
    with pytest.raises(ValueError, match="kind='gelu'"):
        reference.activation_backward(x, x, y, kind="gelu")


def max_pool(x: np.ndarray, kernel: int, padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    image = np.asarray(x, float)[None, :, :, None]
    shape = Pool2dShape.infer(image.shape, kernel=kernel, padding=padding)
    y, argmax = np.empty(shape.y_shape), np.empty(shape.y_shape, np.uint8)
    reference.max_pool2d_forward(image, y, argmax, shape)
    return y[0, :, :, 0], argmax[0, :, :, 0]


def test_max_pool_first_nan_wins_and_first_maximum_wins_a_tie() -> None:
    nan = np.nan
    y, argmax = max_pool([[1, nan], [nan, 9]], 2)
    assert np.isnan(y[0, 0]) and argmax[0, 0] == 1
    assert max_pool([[5, 7], [7, 7]], 2)[1][0, 0] == 1
    y, argmax = max_pool([[-np.inf, -np.inf], [-np.inf, -np.inf]], 2)
    assert y[0, 0] == -np.inf and argmax[0, 0] == 0  # elements, if the least of all


def test_max_pool_window_in_padding_has_no_winner() -> None:
    y, argmax = max_pool([[3.0]], 1, padding=1)
    np.testing.assert_array_equal(argmax, [[255, 255, 255], [255, 0, 255], [255, 255, 255]])
    assert y[0, 0] == -np.inf and y[1, 1] == 3
    shape = Pool2dShape.infer((1, 1, 1, 1), kernel=1, padding=1)
    for sentinel, dtype in ((255, np.uint8), (-1, np.int32)):
        dx = np.empty((1, 1, 1, 1))
        winner = np.where(argmax == 255, sentinel, argmax.astype(int)).astype(dtype)
        reference.max_pool2d_backward_input(
            np.ones((1, 3, 3, 1)), winner[None, ..., None], dx, shape
        )
        assert dx[0, 0, 0, 0] == 1


def test_beta_zero_never_reads_the_output() -> None:
    c = np.full((2, 2), np.nan)
    shape = GemmShape.infer((2, 3), (3, 2))
    reference.gemm(np.ones((2, 3)), np.ones((3, 2)), c, shape, Epilogue(), alpha=1.0, beta=0.0)
    np.testing.assert_array_equal(c, np.full((2, 2), 3.0))


def test_nan_survives_relu_in_both_directions() -> None:
    x, y, dx = np.array([np.nan, -1.0, 2.0]), np.empty(3), np.empty(3)
    reference.activation_forward(x, y, kind="relu")
    np.testing.assert_array_equal(y, [np.nan, 0.0, 2.0])
    reference.activation_backward(np.ones(3), y, dx, kind="relu")
    np.testing.assert_array_equal(dx, [1.0, 0.0, 1.0])


def test_softmax_of_nothing_but_minus_infinity_is_nan() -> None:
    x = np.full((1, 4), -np.inf)
    y = np.empty_like(x)
    for function in (reference.softmax_forward, reference.log_softmax_forward):
        function(x, y)
        assert np.isnan(y).all()
