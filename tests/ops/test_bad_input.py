"""Bad input to any op is a ValueError or TypeError that says which op and argument, what it got and
what it wanted, raised before a backend sees anything."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convsmith import ops
from convsmith.backends import OPS
from convsmith.ops import Conv2dShape, Epilogue, Pool2dShape, Resample2dShape

CONV = Conv2dShape.infer((2, 6, 5, 4), (6, 3, 3, 2), padding=1, groups=2)
POOL = Pool2dShape.infer((2, 6, 5, 4), kernel=2)
RESAMPLE = Resample2dShape.infer((2, 6, 5, 4), (3, 2))

# For each op: the arrays, by argument name and shape, then the other arguments. argmax is uint8,
# labels are int64, everything else is float32.
PER_CHANNEL = {"gamma": (4,), "mean": (4,), "var": (4,)}
LOCAL = {"size": 3, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
ADAM = {"step": 1, "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
ADAM |= {"weight_decay": 0.0, "decoupled": False}
X, CONV_Y, POOL_Y, RESAMPLE_Y = CONV.x_shape, CONV.y_shape, POOL.y_shape, RESAMPLE.y_shape
CALLS = {
    "conv2d_forward": ({"x": X, "weight": CONV.weight_shape}, {"shape": CONV}),
    "conv2d_backward_input": ({"dy": CONV_Y, "weight": CONV.weight_shape}, {"shape": CONV}),
    "conv2d_backward_weight": ({"x": X, "dy": CONV_Y}, {"shape": CONV}),
    "conv2d_backward_bias": ({"dy": CONV_Y}, {}),
    "gemm": ({"a": (3, 5), "b": (5, 4)}, {}),
    "max_pool2d_forward": ({"x": X}, {"shape": POOL}),
    "max_pool2d_backward_input": ({"dy": POOL_Y, "argmax": POOL_Y}, {"shape": POOL}),
    "avg_pool2d_forward": ({"x": X}, {"shape": POOL}),
    "avg_pool2d_backward_input": ({"dy": POOL_Y}, {"shape": POOL}),
    "adaptive_avg_pool2d_forward": ({"x": X}, {"shape": RESAMPLE}),
    "adaptive_avg_pool2d_backward_input": ({"dy": RESAMPLE_Y}, {"shape": RESAMPLE}),
    "batch_norm_forward": ({"x": X, "gamma": (4,), "beta": (4,)}, {"eps": 1e-5}),
    "batch_norm_backward": ({"dy": X, "x": X, **PER_CHANNEL}, {"eps": 1e-5}),
    "batch_norm_inference_forward": ({"x": X, "beta": (4,), **PER_CHANNEL}, {"eps": 1e-5}),
    "batch_norm_inference_backward": ({"dy": X, "x": X, **PER_CHANNEL}, {"eps": 1e-5}),
    "local_response_norm_forward": ({"x": X}, LOCAL),
    "local_response_norm_backward": ({"dy": X, "x": X}, LOCAL),
    "activation_forward": ({"x": X}, {"kind": "relu"}),
    "activation_backward": ({"dy": X, "saved": X}, {"kind": "relu"}),
    "add": ({"a": X, "b": X}, {}),
    "softmax_forward": ({"x": X}, {}),
    "softmax_backward": ({"dy": X, "y": X}, {}),
    "log_softmax_forward": ({"x": X}, {}),
    "log_softmax_backward": ({"dy": X, "y": X}, {}),
    "softmax_cross_entropy": ({"logits": (6, 4), "labels": (6,)}, {}),
    "upsample_nearest2d_forward": ({"x": X}, {"shape": RESAMPLE}),
    "upsample_nearest2d_backward_input": ({"dy": RESAMPLE_Y}, {"shape": RESAMPLE}),
    "upsample_bilinear2d_forward": ({"x": X}, {"shape": RESAMPLE}),
    "upsample_bilinear2d_backward_input": ({"dy": RESAMPLE_Y}, {"shape": RESAMPLE}),
    "sgd_update": ({"param": X, "grad": X, "velocity": X}, SGD),
    "adam_update": ({"param": X, "grad": X, "exp_avg": X, "exp_avg_sq": X}, ADAM),
}
ARRAYS = [(op, name) for op, (arrays, _) in CALLS.items() for name in arrays]
# Their other dimensions are free: only a shape that disagrees with another argument is an error.
BATCH_NORM_X = {("batch_norm_forward", "x"), ("batch_norm_inference_forward", "x")}
FREE_SHAPE = BATCH_NORM_X | {
    ("conv2d_backward_bias", "dy"),
    ("local_response_norm_forward", "x"),
    ("activation_forward", "x"),
    ("softmax_forward", "x"),
    ("log_softmax_forward", "x"),
}
IN_PLACE = [
    ("sgd_update", "param"),
    ("sgd_update", "velocity"),
    ("adam_update", "param"),
    ("adam_update", "exp_avg"),
    ("adam_update", "exp_avg_sq"),
]


def make(name, shape):
    dtype = {"argmax": np.uint8, "labels": np.int64}.get(name, np.float32)
    return np.ones(shape, dtype)


def arguments(op):
    arrays, others = CALLS[op]
    return {**{name: make(name, shape) for name, shape in arrays.items()}, **others}


def call(op, **changes):
    return getattr(ops, op)(**{**arguments(op), **changes})


def refuse(error, op, name, **changes):
    """The call raises this error, in the house's form; returns the message."""
    with pytest.raises(error) as caught:
        call(op, **changes)
    message = str(caught.value)
    assert re.match(rf"{op}: {name}\b", message), message
    assert "got" in message and "wanted" in message, message
    return message


class DeviceArray:
    """What an array of another device looks like."""

    def __init__(self, like):
        self.shape, self.dtype, self.ndim, self.size = like.shape, like.dtype, like.ndim, like.size
        self.flags = like.flags

    def __dlpack__(self, **_):
        raise AssertionError("nothing may be moved between devices silently")


def test_every_op_is_here():
    assert set(CALLS) == set(OPS)


@pytest.mark.parametrize("op", OPS)
def test_the_call_that_is_then_spoiled_is_right(op):
    call(op)


@pytest.mark.parametrize(("op", "name"), ARRAYS)
@pytest.mark.parametrize("value", [None, 3.0, [1.0, 2.0], "text"], ids=repr)
def test_not_an_array(op, name, value):
    if (op, name, value) == ("sgd_update", "velocity", None):
        assert "momentum" in refuse(ValueError, op, name, velocity=None)
    else:
        refuse(TypeError, op, name, **{name: value})


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_device(op, name):
    """Alone it is an unknown array type, beside a NumPy array a mix; a TypeError either way."""
    refuse(TypeError, op, name, **{name: DeviceArray(arguments(op)[name])})


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_array_subclass(op, name):
    refuse(TypeError, op, name, **{name: np.ma.masked_array(arguments(op)[name])})


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_rank(op, name):
    if (op, name) in FREE_SHAPE:
        return
    longer = arguments(op)[name][None]
    message = refuse(ValueError, op, "", **{name: longer})
    assert str(longer.shape) in message


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_one_more_in_the_last_dimension(op, name):
    free = FREE_SHAPE - BATCH_NORM_X | {("softmax_cross_entropy", "logits"), ("gemm", "b")}
    if (op, name) in free:
        return
    array = arguments(op)[name]
    longer = np.ones((*array.shape[:-1], array.shape[-1] + 1), array.dtype)
    refuse(ValueError, op, "", **{name: longer})


@pytest.mark.parametrize(
    "op", [op for op in OPS if op.startswith(("softmax_", "log_softmax", "local", "batch"))]
)
def test_no_channels_and_no_dimensions(op):
    for shape in ((), (2, 0)):
        changes = {name: make(name, shape) for name in CALLS[op][0]}
        first = next(iter(changes))
        assert f"got shape {shape}" in refuse(ValueError, op, first, **changes)


@pytest.mark.parametrize("op", ["batch_norm_forward", "batch_norm_backward"])
def test_no_rows_to_take_statistics_of(op):
    changes = {name: make(name, (0, 4)) for name in ("x", "dy") if name in CALLS[op][0]}
    assert "at least one row" in refuse(ValueError, op, "", **changes)


@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool", "object", "longdouble"])
@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_dtype(op, name, dtype):
    if name == "labels" and dtype == "int32":
        return
    message = refuse(TypeError, op, name, **{name: arguments(op)[name].astype(dtype)})
    assert np.dtype(dtype).name in message


@pytest.mark.parametrize(("op", "name"), [pair for pair in ARRAYS if len(CALLS[pair[0]][0]) > 1])
def test_one_array_of_another_float_dtype(op, name):
    if name in ("argmax", "labels") or (op, name) in (
        ("max_pool2d_backward_input", "dy"),
        ("softmax_cross_entropy", "logits"),
    ):
        return
    message = refuse(TypeError, op, "", **{name: arguments(op)[name].astype(np.float64)})
    assert "float64" in message and "float32" in message


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_foreign_byte_order(op, name):
    array = arguments(op)[name]
    if name in ("labels", "argmax"):  # converted; a single byte has no order
        return
    foreign = array.astype(array.dtype.newbyteorder())
    assert "byte order" in refuse(TypeError, op, name, **{name: foreign})


@pytest.mark.parametrize(("op", "name"), ARRAYS)
def test_not_contiguous(op, name):
    array = arguments(op)[name]
    if name == "labels":  # converted
        return
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    assert strided.shape == array.shape
    assert "ascontiguousarray" in refuse(ValueError, op, name, **{name: strided})
    if array.ndim > 1:
        refuse(ValueError, op, name, **{name: np.asfortranarray(array)})


@pytest.mark.parametrize(("op", "name"), IN_PLACE)
def test_read_only_output(op, name):
    array = arguments(op)[name]
    array.flags.writeable = False
    before = arguments(op)
    assert "read-only" in refuse(ValueError, op, name, **{name: array})
    assert all(np.array_equal(value, arguments(op)[key]) for key, value in before.items())


@pytest.mark.parametrize("op", [op for op in OPS if "shape" in CALLS[op][1]])
def test_shape_of_another_class(op):
    for wrong in ((2, 6, 5, 4), None, POOL if CALLS[op][1]["shape"] is not POOL else CONV):
        assert ".infer" in refuse(TypeError, op, "shape", shape=wrong)


@pytest.mark.parametrize("op", [op for op in OPS if op.startswith("conv2d") and op[-4:] != "bias"])
def test_unknown_algorithm(op):
    assert "auto" in refuse(ValueError, op, "algorithm", algorithm="fastest")


@pytest.mark.parametrize("op", ["conv2d_forward", "gemm"])
def test_epilogue(op):
    channels = 6 if op == "conv2d_forward" else 4
    bias = np.ones(channels, np.float32)
    refuse(TypeError, op, "epilogue", epilogue=bias)
    refuse(ValueError, op, "bias", epilogue=Epilogue(bias=bias[:-1]))
    refuse(ValueError, op, "bias", epilogue=Epilogue(bias=bias[:, None]))
    refuse(TypeError, op, "bias", epilogue=Epilogue(bias=bias.astype(np.float64)))
    refuse(TypeError, op, "bias", epilogue=Epilogue(bias=DeviceArray(bias)))
    refuse(ValueError, op, "residual", epilogue=Epilogue(residual=bias))
    refuse(ValueError, op, "activation", epilogue=Epilogue(activation="gelu"))
    leaky = Epilogue(activation="leaky_relu", negative_slope=-0.1)
    refuse(ValueError, op, "negative_slope", epilogue=leaky)


def test_gemm_out():
    out = np.ones((3, 4), np.float32)
    refuse(ValueError, "gemm", "out", out=out[:, :3])
    refuse(ValueError, "gemm", "out", out=np.asfortranarray(out))
    refuse(TypeError, "gemm", "out", out=out.astype(np.float64))
    refuse(ValueError, "gemm", "beta", beta=1.0)
    refuse(ValueError, "gemm", "alpha", alpha=float("nan"))
    refuse(TypeError, "gemm", "beta", beta="1")
    read_only = out.copy()
    read_only.flags.writeable = False
    assert "read-only" in refuse(ValueError, "gemm", "out", out=read_only)
    square = np.ones((4, 4), np.float32)
    for changes in ({"a": square, "b": square.copy()}, {"a": square.copy(), "b": square}):
        assert "overlaps" in refuse(ValueError, "gemm", "out", out=square, **changes)
    buffer = np.ones(40, np.float32)
    overlapping = {"a": buffer[:15].reshape(3, 5), "out": buffer[14:26].reshape(3, 4)}
    assert "overlaps a" in refuse(ValueError, "gemm", "out", **overlapping)
    beside = {"a": buffer[:15].reshape(3, 5), "out": buffer[15:27].reshape(3, 4)}
    assert call("gemm", **beside) is beside["out"]
    assert "residual" in refuse(ValueError, "gemm", "out", out=out, epilogue=Epilogue(residual=out))
    bias = Epilogue(bias=out.reshape(-1)[:4])
    assert "bias" in refuse(ValueError, "gemm", "out", out=out, epilogue=bias)


def test_gemm_needs_matching_matrices():
    message = refuse(ValueError, "gemm", "b", transpose_b=True)
    assert "(5, 4) transposed" in message and "(3, 5)" in message


@pytest.mark.parametrize("label", [-1, 4, 2**62, -(2**63)])
def test_label_out_of_range(label):
    labels = np.array([0, 1, 2, label, 3, 0])
    message = refuse(ValueError, "softmax_cross_entropy", "labels", labels=labels)
    assert f"got {label} in row 3, wanted 0 to 3" in message


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", ">i4", "uint64"])
def test_labels_of_any_integer_dtype(dtype):
    labels = np.array([0, 1, 2, 3, 3, 0])
    wanted = call("softmax_cross_entropy", labels=labels)
    got = call("softmax_cross_entropy", labels=labels.astype(dtype))
    assert all(np.array_equal(g, w) for g, w in zip(got, wanted, strict=True))
    labels[2] = 4
    refuse(ValueError, "softmax_cross_entropy", "labels", labels=labels.astype(dtype))


def test_argmax_must_be_of_the_window_s_dtype():
    argmax = np.zeros(POOL_Y, np.int32)
    assert "uint8" in refuse(TypeError, "max_pool2d_backward_input", "argmax", argmax=argmax)
    large = Pool2dShape.infer((1, 16, 16, 1), kernel=16)
    assert ops.argmax_dtype(large) == np.int32
    assert ops.argmax_dtype(Pool2dShape.infer((1, 16, 17, 1), kernel=(15, 17))) == np.uint8


def test_average_pooling_is_not_dilated():
    dilated = Pool2dShape.infer(X, kernel=2, dilation=2)
    message = refuse(ValueError, "avg_pool2d_forward", "shape", shape=dilated)
    assert "dilation" in message
    dy = np.ones(dilated.y_shape, np.float32)
    refuse(ValueError, "avg_pool2d_backward_input", "shape", shape=dilated, dy=dy)


NAN, INF = float("nan"), float("inf")
SCALARS = [
    ("activation_forward", "kind", ["gelu", None, ""], []),
    ("activation_backward", "kind", ["gelu"], []),
    ("activation_forward", "negative_slope", [NAN, INF], ["x", None]),
    ("batch_norm_forward", "eps", [-1e-5, NAN, INF], ["x", None]),
    ("batch_norm_backward", "eps", [-1e-5, NAN], [None]),
    ("batch_norm_inference_forward", "eps", [-1e-5, NAN], [None]),
    ("batch_norm_inference_backward", "eps", [-1e-5, NAN], [None]),
    ("local_response_norm_forward", "size", [0, -1], [2.0, None]),
    ("local_response_norm_backward", "size", [0], ["3"]),
    ("local_response_norm_forward", "alpha", [NAN], [None]),
    ("softmax_cross_entropy", "label_smoothing", [-0.1, 1.1, NAN], [None]),
    ("softmax_cross_entropy", "scale", [INF, NAN], ["x"]),
    ("sgd_update", "lr", [-0.1, NAN, INF], [None]),
    ("sgd_update", "momentum", [-0.1], ["x"]),
    ("sgd_update", "weight_decay", [-0.1, NAN], [True]),
    ("adam_update", "step", [0, -1], [1.0, None]),
    ("adam_update", "beta1", [1.0, -0.1, NAN], [None]),
    ("adam_update", "beta2", [1.0], [None]),
    ("adam_update", "eps", [-1e-8], [None]),
    ("adam_update", "lr", [-1, INF], [None]),
    ("adam_update", "weight_decay", [-1], [None]),
]


@pytest.mark.parametrize(("op", "name", "values", "types"), SCALARS)
def test_scalars(op, name, values, types):
    for value in values:
        refuse(ValueError, op, name, **{name: value})
    for value in types:
        refuse(TypeError, op, name, **{name: value})


def test_numbers_of_numpy_are_numbers():
    call("sgd_update", lr=np.float32(0.1), momentum=np.int64(0), velocity=None)


def test_leaky_relu_needs_a_positive_slope():
    for slope in (0.0, -0.1):
        for op in ("activation_forward", "activation_backward"):
            refuse(ValueError, op, "negative_slope", kind="leaky_relu", negative_slope=slope)


def test_nesterov_needs_momentum():
    refuse(ValueError, "sgd_update", "momentum", nesterov=True, momentum=0.0)


def test_saves_input():
    assert [kind for kind in ops.ACTIVATIONS if ops.saves_input(kind)] == ["silu", "hardswish"]
    with pytest.raises(ValueError, match="saves_input: kind: got 'gelu', wanted one of"):
        ops.saves_input("gelu")
