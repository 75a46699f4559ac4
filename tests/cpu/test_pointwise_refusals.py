"""The pointwise, pooling, norm, softmax and optimizer kernels refuse what would corrupt memory.

Called past the Python checks: every array argument of every kernel, spoiled in every way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convsmith import _cpu
from convsmith.ops.shapes import Pool2dShape, Resample2dShape

Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def nans(*shape: int) -> Array:
    return np.full(shape, np.nan, np.float32)


POOL = Pool2dShape.infer((2, 6, 6, 3), kernel=2)
RESAMPLE = Resample2dShape.infer((2, 6, 6, 3), 4)
X, Y, R = (2, 6, 6, 3), (2, 3, 3, 3), (2, 4, 4, 3)
EPS = {"eps": 1e-5}
LRN = {"size": 3, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
RELU = {"kind": "relu", "negative_slope": 0.01}
ADAM = {
    "step": 1, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0,
    "decoupled": False,
}  # fmt: skip
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
STATISTICS = {"mean": (3,), "var": (3,)}
AFFINE = {"gamma": (3,), "beta": (3,)}
# op -> arrays in order, outputs, the shape argument, keywords
Signature = tuple[dict[str, tuple[int, ...]], set[str], tuple[Any, ...], dict[str, Any]]
SIGNATURES: dict[str, Signature] = {
    "max_pool2d_forward": ({"x": X, "y": Y, "argmax": Y}, {"y", "argmax"}, (POOL,), {}),
    "max_pool2d_backward_input": ({"dy": Y, "argmax": Y, "dx": X}, {"dx"}, (POOL,), {}),
    "avg_pool2d_forward": ({"x": X, "y": Y}, {"y"}, (POOL,), {"count_include_pad": True}),
    "avg_pool2d_backward_input": (
        {"dy": Y, "dx": X}, {"dx"}, (POOL,), {"count_include_pad": True},
    ),
    "adaptive_avg_pool2d_forward": ({"x": X, "y": R}, {"y"}, (RESAMPLE,), {}),
    "adaptive_avg_pool2d_backward_input": ({"dy": R, "dx": X}, {"dx"}, (RESAMPLE,), {}),
    "upsample_nearest2d_forward": ({"x": X, "y": R}, {"y"}, (RESAMPLE,), {}),
    "upsample_nearest2d_backward_input": ({"dy": R, "dx": X}, {"dx"}, (RESAMPLE,), {}),
    "upsample_bilinear2d_forward": (
        {"x": X, "y": R}, {"y"}, (RESAMPLE,), {"align_corners": True},
    ),
    "upsample_bilinear2d_backward_input": (
        {"dy": R, "dx": X}, {"dx"}, (RESAMPLE,), {"align_corners": True},
    ),
    "batch_norm_forward": (
        {"x": X, **AFFINE, "y": X, **STATISTICS}, {"y", "mean", "var"}, (), EPS,
    ),
    "batch_norm_inference_forward": ({"x": X, **AFFINE, **STATISTICS, "y": X}, {"y"}, (), EPS),
    "batch_norm_backward": (
        {"dy": X, "x": X, "gamma": (3,), **STATISTICS, "dx": X, "dgamma": (3,), "dbeta": (3,)},
        {"dx", "dgamma", "dbeta"}, (), EPS,
    ),
    "batch_norm_inference_backward": (
        {"dy": X, "x": X, "gamma": (3,), **STATISTICS, "dx": X, "dgamma": (3,), "dbeta": (3,)},
        {"dx", "dgamma", "dbeta"}, (), EPS,
    ),
    "local_response_norm_forward": ({"x": X, "y": X}, {"y"}, (), LRN),
    "local_response_norm_backward": ({"dy": X, "x": X, "dx": X}, {"dx"}, (), LRN),
    "activation_forward": ({"x": X, "y": X}, {"y"}, (), RELU),
    "activation_backward": ({"dy": X, "saved": X, "dx": X}, {"dx"}, (), RELU),
    "add": ({"a": X, "b": X, "y": X}, {"y"}, (), {}),
    "softmax_forward": ({"x": X, "y": X}, {"y"}, (), {}),
    "softmax_backward": ({"dy": X, "y": X, "dx": X}, {"dx"}, (), {}),
    "log_softmax_forward": ({"x": X, "y": X}, {"y"}, (), {}),
    "log_softmax_backward": ({"dy": X, "y": X, "dx": X}, {"dx"}, (), {}),
    "softmax_cross_entropy": (
        {"logits": (4, 3), "labels": (4,), "losses": (4,), "dlogits": (4, 3)},
        {"losses", "dlogits"}, (), {"label_smoothing": 0.0, "scale": 1.0},
    ),
    "sgd_update": ({"param": X, "grad": X, "velocity": X}, {"param", "velocity"}, (), SGD),
    "adam_update": (
        {"param": X, "grad": X, "exp_avg": X, "exp_avg_sq": X},
        {"param", "exp_avg", "exp_avg_sq"}, (), ADAM,
    ),
}  # fmt: skip
DTYPES = {"argmax": np.uint8, "labels": np.int64}


def good_arrays(op: str) -> dict[str, Array]:
    return {
        name: np.zeros(shape, DTYPES.get(name, np.float32))
        for name, shape in SIGNATURES[op][0].items()
    }


def call(op: str, arrays: dict[str, Any]) -> None:
    _, _, shape, keywords = SIGNATURES[op]
    getattr(_cpu, op)(*arrays.values(), *shape, **keywords)


def unaligned(good: Array) -> Array:
    raw = np.zeros(good.nbytes + 1, np.uint8)
    return raw[1:].view(good.dtype).reshape(good.shape)


def strided(good: Array) -> Array:
    return np.zeros((*good.shape[:-1], 2 * good.shape[-1]), good.dtype)[..., ::2]


SPOILED: dict[str, Callable[[Array], Any]] = {
    "float64": lambda good: good.astype(np.float64),
    "int32": lambda good: good.astype(np.int32),
    "swapped": lambda good: good.astype(good.dtype.newbyteorder()),
    "object": lambda good: good.astype(object),
    "short": lambda good: np.ascontiguousarray(good[..., :-1]),
    "flat": lambda good: good.reshape(-1, 1),
    "strided": strided,
    "unaligned": unaligned,
    "none": lambda good: None,
    "list": lambda good: good.tolist(),
}


@pytest.mark.parametrize("op", SIGNATURES)
def test_good_arrays_are_accepted(op: str) -> None:
    call(op, good_arrays(op))


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("op", SIGNATURES)
def test_spoiled_arrays_are_refused(op: str, how: str) -> None:
    for name in SIGNATURES[op][0]:
        arrays: dict[str, Any] = good_arrays(op)
        good = arrays[name]
        if good.dtype == np.uint8 and how in ("swapped", "unaligned"):
            continue  # a byte has no order and no alignment
        if how == "none" and name == "argmax" and op == "max_pool2d_forward":
            continue  # optional
        arrays[name] = SPOILED[how](good)
        with pytest.raises((TypeError, ValueError)) as caught:
            call(op, arrays)
        assert op in str(caught.value), name


@pytest.mark.parametrize("op", SIGNATURES)
def test_read_only_outputs_are_refused_and_read_only_inputs_are_not(op: str) -> None:
    _, outputs, _, _ = SIGNATURES[op]
    arrays = good_arrays(op)
    for name in set(arrays) - outputs:
        arrays[name].flags.writeable = False
    call(op, arrays)
    for name in outputs:
        arrays = good_arrays(op)
        arrays[name].flags.writeable = False
        with pytest.raises(ValueError, match=f"{op}: {name}: got a read-only"):
            call(op, arrays)


def test_a_shape_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(TypeError):
        _cpu.max_pool2d_forward(*good_arrays("max_pool2d_forward").values(), RESAMPLE)
    with pytest.raises(TypeError):
        _cpu.upsample_nearest2d_forward(
            *good_arrays("upsample_nearest2d_forward").values(), (2, 6, 6, 3)
        )


def test_bad_words_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="gelu"):
        _cpu.activation_forward(normal(3), normal(3), kind="gelu", negative_slope=0.0)
    for size in (0, -3):
        with pytest.raises(ValueError, match="size"):
            _cpu.local_response_norm_forward(
                normal(2, 3), normal(2, 3), size=size, alpha=1.0, beta=1.0, k=1.0
            )
    scalar = np.array(1, np.float32)
    with pytest.raises(ValueError, match="axis"):
        _cpu.softmax_forward(scalar, scalar.copy())
    with pytest.raises(ValueError, match="channel"):
        _cpu.batch_norm_forward(
            *(np.empty(s, np.float32) for s in ((4, 0), 0, 0, (4, 0), 0, 0)), eps=1e-5
        )


def test_average_refuses_dilation() -> None:
    shape = Pool2dShape.infer((1, 8, 8, 1), kernel=2, dilation=2)
    with pytest.raises(ValueError, match="dilation"):
        _cpu.avg_pool2d_forward(
            normal(1, 8, 8, 1), nans(*shape.y_shape), shape, count_include_pad=True
        )


@pytest.mark.parametrize("label", [-1, 10, 2**62, -(2**63)])
def test_labels_out_of_range_are_named(label: int) -> None:
    labels = np.zeros(5, np.int64)
    labels[3] = label
    dlogits = nans(5, 10)
    with pytest.raises(ValueError, match=rf"labels: got {label} in row 3"):
        _cpu.softmax_cross_entropy(
            normal(5, 10), labels, nans(5), dlogits, label_smoothing=0.0, scale=1.0
        )
    assert np.isnan(dlogits).all()  # refused before any work


def test_momentum_needs_a_velocity() -> None:
    with pytest.raises(ValueError, match="velocity"):
        _cpu.sgd_update(
            normal(3), normal(3), None, lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False
        )


def test_adam_steps_start_at_one() -> None:
    arrays = [normal(3, seed=i) for i in range(4)]
    with pytest.raises(ValueError, match="step: got 0"):
        _cpu.adam_update(
            *arrays,
            step=0,
            lr=0.1,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=0.0,
            decoupled=False,
        )
