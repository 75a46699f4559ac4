"""The functions at the front: against PyTorch, with tensors of another library, and bad input."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import convsmith


def real(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def close(got, wanted_nchw):
    got = convsmith.to_nchw(got)
    np.testing.assert_allclose(got, wanted_nchw.numpy(), rtol=1e-5, atol=1e-5)


CONVS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (3, 1), "padding": (2, 0), "dilation": (1, 2)},
    {"groups": 2, "padding": 1},
]


@pytest.mark.parametrize("arguments", CONVS, ids=str)
def test_conv2d_is_pytorchs(torch, arguments):
    x, weight, bias = (
        real(0, 2, 9, 8, 4),
        real(1, 6, 3, 3, 4 // arguments.get("groups", 1)),
        real(2, 6),
    )
    nchw = [torch.from_numpy(convsmith.to_nchw(a)) for a in (x, weight)]
    wanted = torch.nn.functional.conv2d(*nchw, torch.from_numpy(bias), **arguments)
    close(convsmith.conv2d(x, weight, bias, **arguments), wanted)


@pytest.mark.parametrize("extra", [0, (1, 0)])
@pytest.mark.parametrize("arguments", CONVS, ids=str)
def test_conv_transpose2d_is_pytorchs(torch, arguments, extra):
    if extra and arguments.get("stride") is None:
        return
    groups = arguments.get("groups", 1)
    x, weight, bias = real(0, 2, 5, 4, 4), real(1, 4, 3, 3, 6 // groups), real(2, 6)
    nchw = [torch.from_numpy(convsmith.to_nchw(a)) for a in (x, weight)]
    wanted = torch.nn.functional.conv_transpose2d(
        *nchw, torch.from_numpy(bias), output_padding=extra, **arguments
    )
    close(convsmith.conv_transpose2d(x, weight, bias, output_padding=extra, **arguments), wanted)


def test_pools_and_upsampling_are_pytorchs(torch):
    x = real(0, 2, 9, 8, 3)
    nchw = torch.from_numpy(convsmith.to_nchw(x))
    f = torch.nn.functional
    window = {"stride": 2, "padding": 1, "ceil_mode": True}
    close(convsmith.max_pool2d(x, 3, **window), f.max_pool2d(nchw, 3, **window))
    for count in (True, False):
        wanted = f.avg_pool2d(nchw, 3, count_include_pad=count, **window)
        close(convsmith.avg_pool2d(x, 3, count_include_pad=count, **window), wanted)
    close(convsmith.adaptive_avg_pool2d(x, (4, 3)), f.adaptive_avg_pool2d(nchw, (4, 3)))
    close(convsmith.upsample_nearest2d(x, (13, 16)), f.interpolate(nchw, (13, 16)))
    for align in (True, False):
        wanted = f.interpolate(nchw, (13, 16), mode="bilinear", align_corners=align)
        close(convsmith.upsample_bilinear2d(x, (13, 16), align_corners=align), wanted)


def test_activations_and_softmax_are_pytorchs(torch):
    x = 3 * real(0, 4, 7)
    for name in ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish"):
        module = torch if name in ("sigmoid", "tanh") else torch.nn.functional
        wanted = getattr(module, name)(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(getattr(convsmith, name)(x), wanted, rtol=1e-5, atol=1e-6)
    for name in ("softmax", "log_softmax"):
        wanted = getattr(torch, name)(torch.from_numpy(x), -1).numpy()
        np.testing.assert_allclose(getattr(convsmith, name)(x), wanted, rtol=1e-5, atol=1e-6)


def test_matmul():
    a, b = real(0, 5, 3), real(1, 3, 4)
    wanted = a @ b
    transposed = {"a": np.ascontiguousarray(a.T), "b": np.ascontiguousarray(b.T)}
    for flag_a in (False, True):
        for flag_b in (False, True):
            got = convsmith.matmul(
                transposed["a"] if flag_a else a,
                transposed["b"] if flag_b else b,
                transpose_a=flag_a,
                transpose_b=flag_b,
            )
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_empty_batch():
    x = np.ones((0, 6, 6, 4), np.float32)
    for front in FRONTS.values():
        assert front(x).shape[0] == 0


def test_border_to_nchw():
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    nhwc = convsmith.to_nhwc(x)
    assert nhwc.flags.c_contiguous
    assert np.array_equal(nhwc, np.moveaxis(x, 1, 3))
    assert np.array_equal(convsmith.to_nchw(nhwc), x)
    # where all sizes are equal, too, and for any strides
    cube = np.arange(81).reshape(3, 3, 3, 3)
    assert np.array_equal(convsmith.to_nhwc(np.asfortranarray(cube)), np.moveaxis(cube, 1, 3))


def test_tensor_in_tensor_out(torch):
    x, weight, bias = real(0, 2, 6, 6, 4), real(1, 6, 3, 3, 4), real(2, 6)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    y = convsmith.conv2d(*tensors, padding=1)
    assert type(y) is torch.Tensor and y.dtype is torch.float32
    assert np.array_equal(y.numpy(), convsmith.conv2d(x, weight, bias, padding=1))
    y += 1  # it is the caller's: writeable
    nhwc = convsmith.to_nhwc(tensors[0].permute(0, 3, 1, 2))
    assert nhwc.data_ptr() == tensors[0].data_ptr(), "no copy where the order is right already"


def test_parameters_stand_beside_tensors(torch):
    x, weight = torch.ones(1, 4, 4, 2), torch.nn.Parameter(torch.ones(3, 3, 3, 2))
    with pytest.raises(TypeError, match=r"conv2d: weight: .* gradient.*pass weight\.detach\(\)"):
        convsmith.conv2d(x, weight)
    frozen = torch.nn.Parameter(torch.ones(3, 3, 3, 2), requires_grad=False)
    assert convsmith.conv2d(x, frozen).shape == (1, 2, 2, 3)


def test_tensors_that_cannot_be_lent(torch):
    x = torch.ones(2, 6, 6, 4)
    for bad, error, message in [
        (x.permute(0, 2, 1, 3), ValueError, r"x\.contiguous\(\)"),
        (x.to(torch.bfloat16), TypeError, "cannot be lent through DLPack"),
        (x.to(torch.int32), TypeError, "got dtype int32"),
    ]:
        with pytest.raises(error, match=f"max_pool2d.*: x: .*{message}"):
            convsmith.max_pool2d(bad, 2)
    with pytest.raises(TypeError, match=r"conv2d: weight: got a numpy\.ndarray, wanted a torch"):
        convsmith.conv2d(x, np.ones((6, 3, 3, 4), np.float32))
    with pytest.raises(TypeError, match=r"conv2d: bias: got a torch\.Tensor, wanted a numpy"):
        convsmith.conv2d(x.numpy(), np.ones((6, 3, 3, 4), np.float32), torch.ones(6))


class OnADevice:
    """A tensor that says through DLPack on which device it lives."""

    shape = (2, 6, 6, 4)

    def __init__(self, device_type):
        self.device_type = device_type

    def __dlpack_device__(self):
        return (self.device_type, 0)

    def __dlpack__(self, **_):
        raise AssertionError("nothing may be moved between devices silently")

    def __array_namespace__(self):
        return np


def test_a_tensor_on_another_device_is_refused():
    with pytest.raises(TypeError, match=r"max_pool2d: x: .* device type 10, wanted one on the CPU"):
        convsmith.max_pool2d(OnADevice(10), 2)


def test_a_tensor_on_a_gpu_needs_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(TypeError, match=r"max_pool2d: x: got a .* on a GPU, which needs CuPy"):
        convsmith.max_pool2d(OnADevice(2), 2)


FRONTS = {
    "conv2d": lambda x: convsmith.conv2d(x, np.ones((6, 3, 3, 4), np.float32)),
    "conv_transpose2d": lambda x: convsmith.conv_transpose2d(x, np.ones((4, 3, 3, 6), np.float32)),
    "max_pool2d": lambda x: convsmith.max_pool2d(x, 2),
    "avg_pool2d": lambda x: convsmith.avg_pool2d(x, 2),
    "adaptive_avg_pool2d": lambda x: convsmith.adaptive_avg_pool2d(x, 1),
    "upsample_nearest2d": lambda x: convsmith.upsample_nearest2d(x, 3),
    "upsample_bilinear2d": lambda x: convsmith.upsample_bilinear2d(x, 3),
}


@pytest.mark.parametrize("front", FRONTS)
def test_bad_input(front):
    good = np.ones((2, 6, 6, 4), np.float32)
    FRONTS[front](good)
    for bad, error, message in [
        (good[0], ValueError, "got shape .* wanted 4 dimensions"),
        (good[:, ::2], ValueError, "C-contiguous"),
        (good.astype(int), TypeError, "got dtype int64"),
        (good.astype(">f4"), TypeError, "byte order"),
        (good.tolist(), TypeError, "got a .*list"),
        (good[:, :0], ValueError, "height: got 0"),
    ]:
        with pytest.raises(error, match=rf"^{front}\w*: x: .*{message}"):
            FRONTS[front](bad)


def test_conv2d_front_checks_its_other_arguments():
    x = np.ones((2, 6, 6, 4), np.float32)
    weight = np.ones((6, 3, 3, 4), np.float32)
    with pytest.raises(ValueError, match="conv2d: weight: got shape"):
        convsmith.conv2d(x, weight[..., :3])
    with pytest.raises(ValueError, match="conv2d_forward: bias: got shape"):
        convsmith.conv2d(x, weight, np.ones(4, np.float32))
    with pytest.raises(TypeError, match=r"conv2d: weight: got a builtins.list"):
        convsmith.conv2d(x, weight.tolist())
    with pytest.raises(ValueError, match="conv_transpose2d: bias: got shape"):
        convsmith.conv_transpose2d(x, np.ones((4, 3, 3, 6), np.float32), np.ones(4, np.float32))
    with pytest.raises(ValueError, match="algorithm: got 'cudnn'"):
        convsmith.conv2d(x, weight, algorithm="cudnn")


def test_to_nhwc_wants_rank_4():
    for front in (convsmith.to_nhwc, convsmith.to_nchw):
        with pytest.raises(ValueError, match=r"x: got shape .*wanted 4 dimensions"):
            front(np.ones((2, 3, 4), np.float32))
        with pytest.raises(TypeError, match="x: got a"):
            front([[[[1.0]]]])
