"""Native pools, norms, activations, softmax and optimizers at the edges of float32.

The shared cases are ordinary numbers in small arrays. Here: every magnitude, infinities, NaN, means
that dwarf the deviation, rows of thousands, and arrays that make several tasks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convsmith import _cpu
from convsmith.ops.shapes import Pool2dShape, Resample2dShape

Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def poisoned(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    made = np.empty(shape, dtype)
    made.view(np.uint8)[...] = 0xFF
    return made


def activation(x: Array, kind: str, negative_slope: float = 0.01) -> Array:
    y = poisoned(x.shape)
    _cpu.activation_forward(x, y, kind=kind, negative_slope=negative_slope)
    return y


def max_pool(x: Array, shape: Pool2dShape) -> tuple[Array, Array]:
    y = poisoned(shape.y_shape)
    byte = shape.kernel_h * shape.kernel_w <= 255
    argmax = np.empty(shape.y_shape, np.uint8 if byte else np.int32)
    _cpu.max_pool2d_forward(x, y, argmax, shape)
    without = poisoned(shape.y_shape)
    _cpu.max_pool2d_forward(x, without, None, shape)
    np.testing.assert_array_equal(without, y)
    return y, argmax


# Elementary functions.

UNIT = 2.0**-24
SMALLEST = 2.0**-149


def sweep() -> Array:
    """Floats of every magnitude and both signs, denormals and infinities included."""
    bits = np.arange(0, 0x7F800001, 40_009, dtype=np.int64).astype(np.uint32)
    magnitudes = bits.view(np.float32)
    dense = np.linspace(-110, 110, 60_001, dtype=np.float32)
    return np.concatenate([magnitudes, -magnitudes, dense, np.float32([np.inf, -np.inf])])


def sigmoid64(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


@pytest.mark.parametrize(("kind", "units"), [("sigmoid", 6), ("tanh", 6), ("silu", 8)])
def test_transcendental_activations_within_a_few_ulp(isa: str, kind: str, units: int) -> None:
    x = sweep()
    if kind == "silu":
        x = x[np.isfinite(x)]  # -inf * 0 is NaN, as in PyTorch
    wide = x.astype(np.float64)
    truth = {
        "sigmoid": sigmoid64,
        "tanh": np.tanh,
        "silu": lambda v: v * sigmoid64(v),
    }[kind](wide)
    error = np.abs(activation(x, kind).astype(np.float64) - truth)
    # Below the smallest normal number the spacing is fixed. silu multiplies what its sigmoid
    # rounded there.
    floor = SMALLEST * (np.maximum(np.abs(wide), 1) if kind == "silu" else 1)
    bound = units * UNIT * np.abs(truth) + floor
    worst = int(np.argmax(error / bound))
    assert error[worst] <= bound[worst], (x[worst], truth[worst], error[worst] / bound[worst])


def test_exponential_and_logarithm_over_all_magnitudes(isa: str) -> None:
    # softmax of (0, -x): its second element is exp(-x) while that is small beside 1.
    x = np.linspace(20, 110, 4001, dtype=np.float32)
    y = poisoned((x.size, 2))
    _cpu.softmax_forward(np.stack([np.zeros_like(x), -x], axis=1), y)
    np.testing.assert_allclose(y[:, 1], np.exp(-x.astype(np.float64)), rtol=5e-7, atol=2e-45)
    # One channel, size 1, k 0: y = x / (x^2)^beta = x^(1 - 2 beta).
    v = np.logspace(-15, 15, 2001).astype(np.float32)[:, None]
    out = poisoned(v.shape)
    _cpu.local_response_norm_forward(v, out, size=1, alpha=1.0, beta=0.75, k=0.0)
    np.testing.assert_allclose(out, v.astype(np.float64) ** -0.5, rtol=1e-5)


@pytest.mark.parametrize(
    "kind", ["identity", "relu", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish"]
)
def test_nan_passes_through_every_activation(isa: str, kind: str) -> None:
    x = np.full(37, np.nan, np.float32)
    assert np.isnan(activation(x, kind)).all()


def test_identity_backward_is_a_copy_and_ignores_what_was_saved() -> None:
    dy, dx = normal(100), poisoned((100,))
    _cpu.activation_backward(
        dy, np.full(100, np.nan, np.float32), dx, kind="identity", negative_slope=0.0
    )
    np.testing.assert_array_equal(dx, dy)


# Pooling.


@pytest.mark.parametrize("channels", [1, 3, 16, 19, 40])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_first_nan_wins_and_first_maximum_wins(isa: str, channels: int, kernel: int) -> None:
    x = np.zeros((1, kernel, kernel, channels), np.float32)
    shape = Pool2dShape.infer(x.shape, kernel=kernel)
    y, argmax = max_pool(x, shape)
    assert (y == 0).all() and (argmax == 0).all()
    x[0, kernel - 1, kernel - 1] = np.inf
    x[0, 0, 1] = np.nan
    x[0, 1, 0] = np.nan
    y, argmax = max_pool(x, shape)
    assert np.isnan(y).all() and (argmax == 1).all()


def test_minus_infinity_is_a_winner_and_padding_is_none(isa: str) -> None:
    x = np.full((1, 2, 2, 5), -np.inf, np.float32)
    shape = Pool2dShape.infer(x.shape, kernel=2, stride=2, padding=2)
    y, argmax = max_pool(x, shape)
    assert (y == -np.inf).all()
    inside = np.full((3, 3), 255)
    inside[1, 1] = 0
    np.testing.assert_array_equal(argmax[0, :, :, 0], inside)
    dx = poisoned(x.shape)
    _cpu.max_pool2d_backward_input(np.ones(shape.y_shape, np.float32), argmax, dx, shape)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 0], [0, 0]])


def test_large_windows_have_a_wide_argmax(isa: str) -> None:
    x = normal(2, 20, 17, 21)
    shape = Pool2dShape.infer(x.shape, kernel=16, stride=3, padding=8)
    y, argmax = max_pool(x, shape)
    assert argmax.dtype == np.int32 and argmax.max() == 255
    dx = poisoned(x.shape)
    _cpu.max_pool2d_backward_input(np.ones_like(y), argmax, dx, shape)
    assert dx.sum() == y.size
    with pytest.raises(TypeError, match="argmax"):
        _cpu.max_pool2d_forward(x, y, np.empty(y.shape, np.uint8), shape)


def test_an_argmax_that_no_forward_wrote_does_no_harm(isa: str) -> None:
    dy = np.ones((1, 4, 4, 3), np.float32)
    shape = Pool2dShape.infer((1, 8, 8, 3), kernel=2)
    dx = poisoned(shape.x_shape)
    _cpu.max_pool2d_backward_input(dy, np.full(dy.shape, 77, np.uint8), dx, shape)
    assert (dx == 0).all()


def test_average_of_integers_is_one_exact_division(isa: str) -> None:
    x = np.arange(9 * 7, dtype=np.float32).reshape(1, 3, 3, 7)
    shape = Pool2dShape.infer(x.shape, kernel=3)
    y = poisoned(shape.y_shape)
    _cpu.avg_pool2d_forward(x, y, shape, count_include_pad=False)
    np.testing.assert_array_equal(y[0, 0, 0], x.reshape(9, 7).sum(axis=0) / np.float32(9))


# Normalisation.


def batch_norm64(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    y = (rows - mean) / np.sqrt(var + eps) * gamma + beta
    return y.reshape(x.shape), mean, var


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("channels", [1, 3, 16, 24, 130])
@pytest.mark.parametrize(("centre", "spread"), [(0, 1), (1000, 1), (-3e4, 0.5), (1e-4, 1e-6)])
def test_batch_norm_when_the_mean_dwarfs_the_deviation(
    isa: str, rows: int, channels: int, centre: float, spread: float
) -> None:
    check_batch_norm(rows, channels, centre, spread)


@pytest.mark.parametrize(("rows", "channels"), [(300_007, 1), (70_001, 12), (3001, 300)])
def test_batch_norm_over_many_chunks(isa: str, rows: int, channels: int) -> None:
    check_batch_norm(rows, channels, 1000, 1)


def check_batch_norm(rows: int, channels: int, centre: float, spread: float) -> None:
    x = (normal(rows, channels) * np.float32(spread) + np.float32(centre)).astype(np.float32)
    gamma, beta = normal(channels, seed=1), normal(channels, seed=2)
    y, mean, var = poisoned(x.shape), poisoned((channels,)), poisoned((channels,))
    _cpu.batch_norm_forward(x, gamma, beta, y, mean, var, eps=1e-5)
    wanted = batch_norm64(x, gamma, beta, float(np.float32(1e-5)))
    np.testing.assert_allclose(y, wanted[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean, wanted[1], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(var, wanted[2], rtol=1e-6, atol=1e-12)


def test_batch_norm_of_an_empty_batch(isa: str) -> None:
    x = np.empty((0, 5, 5, 3), np.float32)
    gamma, beta = normal(3), normal(3)
    mean, var, dgamma, dbeta = (poisoned((3,)) for _ in range(4))
    _cpu.batch_norm_forward(x, gamma, beta, x.copy(), mean, var, eps=1e-5)
    assert (mean == 0).all() and (var == 0).all()
    _cpu.batch_norm_backward(x, x, gamma, mean, var, x.copy(), dgamma, dbeta, eps=1e-5)
    assert (dgamma == 0).all() and (dbeta == 0).all()


def test_one_bad_channel_leaves_the_others_alone(isa: str) -> None:
    x = normal(600, 5)
    x[17, 3] = np.nan
    x[400, 1] = np.inf
    y, mean, var = poisoned(x.shape), poisoned((5,)), poisoned((5,))
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
    _cpu.batch_norm_forward(x, ones, zeros, y, mean, var, eps=1e-5)
    assert np.isnan(y[:, 3]).all() and np.isnan(y[:, 1]).all()
    good = [0, 2, 4]
    wanted = batch_norm64(x[:, good], ones[good], zeros[good], 1e-5)[0]
    np.testing.assert_allclose(y[:, good], wanted, rtol=1e-5, atol=1e-6)


def test_local_response_norm_window_wider_than_the_channels(isa: str) -> None:
    x = normal(3, 4)
    y, wide = poisoned(x.shape), poisoned(x.shape)
    # Only the divisor alpha / size tells the windows 9 and 2^40 apart.
    _cpu.local_response_norm_forward(x, y, size=9, alpha=9.0, beta=0.5, k=1.0)
    _cpu.local_response_norm_forward(x, wide, size=2**40, alpha=float(2**40), beta=0.5, k=1.0)
    np.testing.assert_allclose(wide, y, rtol=1e-6)


# Softmax.


@pytest.mark.parametrize("classes", [1, 2, 10, 17, 1000, 5003])
@pytest.mark.parametrize("offset", [0.0, -3e4, 8e4])
def test_softmax_does_not_care_how_large_the_logits_are(
    isa: str, classes: int, offset: float
) -> None:
    x = (normal(6, classes) * 4 + np.float32(offset)).astype(np.float32)
    wide = x.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(wide).sum(axis=1, keepdims=True))
    y, log_y = poisoned(x.shape), poisoned(x.shape)
    _cpu.softmax_forward(x, y)
    _cpu.log_softmax_forward(x, log_y)
    np.testing.assert_allclose(y, np.exp(wide - log_sum), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_y, wide - log_sum, rtol=1e-5, atol=1e-6)


def test_softmax_of_infinities(isa: str) -> None:
    x = normal(4, 21)
    x[0, 3:] = -np.inf
    x[1, :] = -np.inf
    x[2, 20] = np.inf
    x[3, 20] = np.nan
    y = poisoned(x.shape)
    _cpu.softmax_forward(x, y)
    np.testing.assert_allclose(y[0, :3].sum(), 1, rtol=1e-6)
    assert (y[0, 3:] == 0).all()
    assert np.isnan(y[1]).all() and np.isnan(y[2]).all() and np.isnan(y[3]).all()


def test_cross_entropy_of_a_class_ruled_out(isa: str) -> None:
    logits = np.float32([[0, -np.inf, 1]])
    losses, dlogits = poisoned((1,)), poisoned(logits.shape)
    for label, wanted in ((2, np.log(1 + np.exp(-1.0))), (1, np.inf)):
        _cpu.softmax_cross_entropy(
            logits, np.array([label]), losses, dlogits, label_smoothing=0.0, scale=1.0
        )
        np.testing.assert_allclose(losses[0], wanted, rtol=1e-6)
        assert np.isfinite(dlogits).all()


# Optimizers.


def test_adam_keeps_its_digits_at_late_steps(isa: str) -> None:
    param, grad = normal(1003), normal(1003, seed=1)
    first, second = normal(1003, seed=2), normal(1003, seed=3) ** 2
    wide = [a.astype(np.float64) for a in (param, grad, first, second)]
    _cpu.adam_update(
        param,
        grad,
        first,
        second,
        step=100_000,
        lr=1e-3,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=0.0,
        decoupled=False,
    )
    m = 0.9 * wide[2] + 0.1 * wide[1]
    s = 0.999 * wide[3] + 0.001 * wide[1] ** 2
    np.testing.assert_allclose(first, m, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(second, s, rtol=1e-6)
    np.testing.assert_allclose(
        param, wide[0] - 1e-3 * m / (np.sqrt(s) + 1e-8), rtol=2e-6, atol=1e-7
    )


# Threads.


def _everything() -> list[Array]:
    """Outputs of all the kernels, on sizes that make several tasks."""
    made: list[Array] = []

    def out(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        made.append(poisoned(shape, dtype))
        return made[-1]

    x, dy = normal(3, 41, 43, 20), normal(3, 41, 43, 20, seed=1)
    gamma, beta = normal(20, seed=2), normal(20, seed=3)
    pool = Pool2dShape.infer(x.shape, kernel=3, stride=2, padding=1)
    dpool = normal(*pool.y_shape, seed=4)
    _cpu.max_pool2d_forward(x, out(pool.y_shape), out(pool.y_shape, np.uint8), pool)
    _cpu.max_pool2d_backward_input(dpool, made[1], out(x.shape), pool)
    _cpu.avg_pool2d_forward(x, out(pool.y_shape), pool, count_include_pad=True)
    _cpu.avg_pool2d_backward_input(dpool, out(x.shape), pool, count_include_pad=False)
    for size in (1, 7, 90):
        resample = Resample2dShape.infer(x.shape, size)
        dup = normal(*resample.y_shape, seed=5)
        _cpu.adaptive_avg_pool2d_forward(x, out(resample.y_shape), resample)
        _cpu.adaptive_avg_pool2d_backward_input(dup, out(x.shape), resample)
        _cpu.upsample_nearest2d_forward(x, out(resample.y_shape), resample)
        _cpu.upsample_nearest2d_backward_input(dup, out(x.shape), resample)
        _cpu.upsample_bilinear2d_forward(x, out(resample.y_shape), resample, align_corners=False)
        _cpu.upsample_bilinear2d_backward_input(dup, out(x.shape), resample, align_corners=True)
    mean, var = np.empty((20,), np.float32), np.empty((20,), np.float32)
    _cpu.batch_norm_forward(x, gamma, beta, out(x.shape), mean, var, eps=1e-5)
    made += [mean, var]
    for op in (_cpu.batch_norm_backward, _cpu.batch_norm_inference_backward):
        op(dy, x, gamma, mean, var, out(x.shape), out((20,)), out((20,)), eps=1e-5)
    _cpu.local_response_norm_forward(x, out(x.shape), size=5, alpha=0.1, beta=0.75, k=2.0)
    _cpu.local_response_norm_backward(dy, x, out(x.shape), size=5, alpha=0.1, beta=0.75, k=2.0)
    for kind in ("relu", "tanh", "silu"):
        _cpu.activation_forward(x, out(x.shape), kind=kind, negative_slope=0.01)
        _cpu.activation_backward(dy, x, out(x.shape), kind=kind, negative_slope=0.01)
    _cpu.add(x, dy, out(x.shape))
    rows, labels = x.reshape(-1, 860), np.arange(123) * 7 % 860
    _cpu.softmax_forward(rows, out(rows.shape))
    _cpu.log_softmax_forward(rows, out(rows.shape))
    _cpu.softmax_cross_entropy(
        rows, labels, out((123,)), out(rows.shape), label_smoothing=0.1, scale=0.5
    )
    param, first, second = x.copy(), dy.copy(), np.abs(dy)
    _cpu.adam_update(
        param,
        dy,
        first,
        second,
        step=3,
        lr=0.1,
        beta1=0.9,
        beta2=0.99,
        eps=1e-8,
        weight_decay=0.1,
        decoupled=True,
    )
    _cpu.sgd_update(param, dy, first, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True)
    return [*made, param, first, second]


def test_the_bits_of_large_arrays_do_not_depend_on_the_threads(isa: str) -> None:
    _cpu.set_num_threads(1)
    wanted = [array.tobytes() for array in _everything()]
    for count in (2, 3, 7):
        _cpu.set_num_threads(count)
        got = [array.tobytes() for array in _everything()]
        assert [i for i in range(len(wanted)) if got[i] != wanted[i]] == []


def test_empty_arrays_are_fine(isa: str) -> None:
    empty = np.empty((0, 6, 6, 3), np.float32)
    _cpu.activation_forward(empty, empty.copy(), kind="relu", negative_slope=0.0)
    _cpu.softmax_forward(empty, empty.copy())
    _cpu.softmax_forward(np.empty((3, 0), np.float32), np.empty((3, 0), np.float32))
    _cpu.local_response_norm_forward(empty, empty.copy(), size=3, alpha=1e-4, beta=0.75, k=1.0)
    shape = Pool2dShape.infer(empty.shape, kernel=2)
    max_pool(empty, shape)
    _cpu.avg_pool2d_backward_input(
        np.empty(shape.y_shape, np.float32), empty.copy(), shape, count_include_pad=True
    )
    _cpu.softmax_cross_entropy(
        np.empty((0, 10), np.float32), np.empty(0, np.int64), np.empty(0, np.float32),
        np.empty((0, 10), np.float32), label_smoothing=0.0, scale=1.0,
    )  # fmt: skip
