"""What is drawn at random: initial values and dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import convsmith
from convsmith import nn
from convsmith.nn import init

SHAPE = (64, 3, 3, 32)  # fan_in 288, fan_out 576


def empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(np.full(shape, np.nan, np.float32))


def test_fans() -> None:
    assert init.fans(SHAPE) == (288, 576)
    assert init.fans((10, 20)) == (20, 10)
    with pytest.raises(ValueError, match="2 or more"):
        init.fans((3,))


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (init.kaiming_normal, math.sqrt(2 / 288)),
        (init.kaiming_uniform, math.sqrt(2 / 288)),
        (init.he_normal, math.sqrt(2 / 288)),
        (lambda p: init.kaiming_normal(p, "fan_out", "linear"), math.sqrt(1 / 576)),
        (
            lambda p: init.kaiming_uniform(p, "fan_in", "leaky_relu", 0.5),
            math.sqrt(2 / 1.25 / 288),
        ),
        (init.xavier_normal, math.sqrt(2 / 864)),
        (init.xavier_uniform, math.sqrt(2 / 864)),
        (lambda p: init.normal(p, 0.0, 0.3), 0.3),
        (lambda p: init.uniform(p, -0.3, 0.3), 0.3 / math.sqrt(3)),
        (lambda p: init.trunc_normal(p, 0.0, 1.0, -1.0, 1.0), 0.5396),
    ],
)
def test_statistics(fill: Any, std: float) -> None:
    parameter = empty(*SHAPE)
    assert fill(parameter) is parameter
    values = parameter.data
    assert values.dtype == np.float32
    standard_error = std / math.sqrt(values.size)
    assert abs(float(values.mean())) < 5 * standard_error
    assert float(values.std()) == pytest.approx(std, rel=0.02)


def test_bounds() -> None:
    values = init.trunc_normal(empty(1000), 1.0, 2.0, -0.5, 1.5).data
    assert values.min() >= -0.5
    assert values.max() <= 1.5
    values = init.xavier_uniform(empty(*SHAPE)).data
    assert abs(values).max() <= math.sqrt(6 / 864)
    assert np.all(init.constant(empty(3), 7.0).data == 7)


def test_default_of_layers_is_uniform_in_one_over_root_fan_in() -> None:
    for layer, fan_in in (
        (nn.Conv2d(8, 64, 3), 72),
        (nn.Conv2d(8, 64, 3, groups=4), 18),
        (nn.Linear(50, 400), 50),
        (nn.ConvTranspose2d(32, 8, 3), 72),  # as PyTorch: from the second dimension of its weight
    ):
        bound = 1 / math.sqrt(fan_in)
        assert abs(layer.weight.data).max() <= bound
        assert float(layer.weight.data.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias is not None
        assert 0.5 * bound < abs(layer.bias.data).max() <= bound


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [
        (0.0, 1.0, 1e-9, 2e-9),
        (0.0, 1.0, 4.0, 5.0),
        (0.0, 1.0, -0.001, 0.001),
        (0.0, float("nan"), -1.0, 1.0),
        (float("nan"), 1.0, -1.0, 1.0),
        (0.0, 0.0, -1.0, 1.0),
        (0.0, 1.0, 1.0, -1.0),
    ],
)
def test_trunc_normal_refuses_what_would_not_end(
    mean: float, std: float, low: float, high: float
) -> None:
    with pytest.raises(ValueError, match="1% of the distribution"):
        init.trunc_normal(empty(10_000), mean, std, low, high)
    assert init.trunc_normal(empty(10_000), 0.0, 1.0, 2.0, math.inf).data.min() >= 2


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="nonlinearity: got 'gelu'"):
        init.kaiming_normal(empty(2, 2), nonlinearity="gelu")
    with pytest.raises(ValueError, match="mode: got 'fan'"):
        init.kaiming_normal(empty(2, 2), mode="fan")
    with pytest.raises(ValueError, match="1% of the distribution"):
        init.trunc_normal(empty(2), 100.0, 1.0, -2.0, 2.0)


def test_the_seed_decides() -> None:
    def draw(seed: int) -> Any:
        convsmith.seed(seed)
        return nn.Conv2d(3, 4, 3).weight.data

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_dropout_statistics() -> None:
    x = np.full((200, 500), 3.0, np.float32)
    y, cache = nn.Dropout(0.3).forward(x, training=True)
    assert y.dtype == np.float32
    kept = y != 0
    assert float(kept.mean()) == pytest.approx(0.7, abs=0.005)
    np.testing.assert_allclose(y[kept], 3.0 / 0.7, rtol=1e-6)
    assert float(y.mean()) == pytest.approx(3.0, rel=0.01)
    dx = nn.Dropout(0.3).backward(np.ones_like(x), cache)
    assert dx is not None
    np.testing.assert_array_equal(dx != 0, kept)


def test_dropout_in_inference_is_the_input_itself() -> None:
    x = np.ones((2, 3), np.float32)
    assert nn.Dropout(0.5)(x) is x


def test_dropout_draws_anew_and_by_the_seed() -> None:
    x = np.ones((10, 10), np.float32)
    layer = nn.Dropout(0.5)
    first = layer.forward(x, True)[0]
    assert not np.array_equal(first, layer.forward(x, True)[0])
    convsmith.seed(0)
    np.testing.assert_array_equal(first, layer.forward(x, True)[0])
