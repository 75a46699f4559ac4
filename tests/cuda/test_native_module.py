"""convsmith._cuda as built: it imports without a driver, and refuses what it cannot run.

The arrays are stand-ins with a __cuda_array_interface__ and an address that nobody reads: what is
wrong with them is found before any kernel starts.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys

import numpy as np
import pytest

from convsmith import machine
from convsmith.ops.gemm_shape import GemmShape

_cuda, why = machine.native_module("_cuda")
if _cuda is None:
    pytest.skip(f"convsmith._cuda: {why}", allow_module_level=True)

try:
    HAS_GPU = ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
except OSError:
    HAS_GPU = False
with_gpu = pytest.mark.skipif(not HAS_GPU, reason="this machine has no NVIDIA GPU")
without_gpu = pytest.mark.skipif(HAS_GPU, reason="this machine has an NVIDIA GPU")

ADDRESS = 1 << 20


class Array:
    """What the CUDA Array Interface says of an array, right or wrong."""

    def __init__(self, shape=(4, 8), typestr="<f4", **changes):
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": typestr,
            "data": (ADDRESS, False),
            "strides": None,
            "version": 3,
            **changes,
        }


class Brain(Array):
    """bfloat16 has no letter of its own: the dtype says it."""

    dtype = "bfloat16"

    def __init__(self):
        super().__init__(typestr="<V2")


def sgd_update(param, grad=None):
    """Its first argument is an output: `param` alone decides."""
    arguments = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
    _cuda.sgd_update(param, grad or Array(), None, **arguments)


REFUSED = {
    "a NumPy array": (np.ones((4, 8), np.float32), TypeError, "got ndarray, wanted an array on"),
    "None": (None, TypeError, "got NoneType, wanted an array on the GPU"),
    "float64": (Array(typestr="<f8"), TypeError, "got dtype <f8, wanted float32"),
    "an integer": (Array(typestr="<i4"), TypeError, "got dtype int32, wanted float32"),
    "big-endian": (Array(typestr=">f4"), TypeError, "got dtype >f4, wanted float32"),
    "every second element": (Array(strides=(64, 8)), ValueError, "not C-contiguous"),
    "columns": (Array(strides=(4, 16)), ValueError, r"pass ascontiguousarray\(param\)"),
    "backwards": (Array(strides=(-32, 4)), ValueError, "not C-contiguous"),
    "an odd address": (Array(data=(ADDRESS + 2, False)), ValueError, "unaligned .* 4 bytes"),
    "read-only": (Array(data=(ADDRESS, True)), ValueError, "got a read-only array"),
    "null": (Array(data=(0, False)), ValueError, r"got a null pointer for shape \(4, 8\)"),
    "a mask": (Array(mask=Array()), TypeError, "got a masked array"),
    "sizes below zero": (Array(shape=(-1, 8)), TypeError, r"makes no sense: shape \(-1, 8\)"),
    "too large": (Array(shape=(1 << 40, 1 << 40)), TypeError, "makes no sense: shape"),
    "strides of another rank": (Array(strides=(4,)), TypeError, r"makes no sense: strides \(4,\)"),
    "no type": (Array(typestr=""), TypeError, "got Array, whose .* makes no sense"),
    "no pointer": (Array(data=None), TypeError, "got Array, whose .* makes no sense"),
    "no shape": (Array(shape=None), TypeError, "got Array, whose .* makes no sense"),
}


def test_import_needs_no_driver():
    """In a process of its own, with nothing else imported that could bring one."""
    code = "import convsmith._cuda as m; print(*m.architectures())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == _cuda.architectures()


def test_architectures():
    names = _cuda.architectures()
    assert names and all(re.fullmatch(r"(sm|compute)_\d+[af]?", name) for name in names), names


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_work(case):
    array, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^sgd_update: param: .*{message}"):
        sgd_update(array)


@pytest.mark.parametrize("op", ["add", "softmax_forward", "conv2d_backward_bias"])
def test_every_family_names_what_is_no_array_of_the_gpu(op):
    arguments = [np.ones((4, 8), np.float32)] * (3 if op == "add" else 2)
    with pytest.raises(TypeError, match=f"^{op}: [a-z]+: got ndarray, wanted an array on the GPU"):
        getattr(_cuda, op)(*arguments)


def test_a_wrong_shape():
    shape = GemmShape(4, 8, 2, transpose_a=False, transpose_b=False)
    with pytest.raises(ValueError, match=r"^gemm: a: got shape \(4, 8\), wanted \(4, 2\)"):
        a = Array()
        _cuda.gemm(a, a, None, None, a, shape, "identity", 0.0, 1.0, 0.0)


@without_gpu
@pytest.mark.parametrize("array", [Array(), Array(typestr="<f2"), Brain()], ids=str)
def test_no_gpu_is_an_error_of_the_op_each_time(array):
    for _ in range(2):
        with pytest.raises(_cuda.DeviceError, match=r"^add: cuda[A-Za-z]+: .*convsmith env"):
            _cuda.add(array, array, array)
    with pytest.raises(_cuda.DeviceError, match=r"^sgd_update: "):
        sgd_update(Array())


@without_gpu
def test_no_gpu_is_an_error_of_an_empty_array_as_well():
    empty = Array(shape=(0, 8), data=(0, False))
    with pytest.raises(_cuda.DeviceError, match=r"^activation_forward: "):
        _cuda.activation_forward(empty, empty, kind="relu", negative_slope=0.0)


@without_gpu
def test_a_refusal_does_not_hide_behind_the_error_before_it():
    with pytest.raises(_cuda.DeviceError):
        sgd_update(Array())
    with pytest.raises(ValueError, match="read-only"):
        sgd_update(Array(data=(ADDRESS, True)))


@without_gpu
def test_the_error_is_this_module_s_own():
    """_simt throws the same C++ type, and was imported later."""
    simt = pytest.importorskip("convsmith._simt")
    assert simt.DeviceError is not _cuda.DeviceError
    with pytest.raises(_cuda.DeviceError):
        sgd_update(Array())


def test_a_stream_that_is_no_address():
    """Checked where both modules share the code: after the arrays, before the launch."""
    simt = pytest.importorskip("convsmith._simt")
    x = np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"^add: stream: got 3, wanted 0, 1, 2 or the address"):
        simt.add(x, x, x.copy(), stream=3)


@with_gpu
def test_host_memory_is_refused():
    memory = np.ones((4, 8), np.float32)
    array = Array(data=(memory.ctypes.data, False))
    with pytest.raises(ValueError, match=r"^sgd_update: param: .* not memory of a GPU"):
        sgd_update(array)
    with pytest.raises(ValueError, match=r"^sgd_update: param: .* not memory of a GPU"):
        sgd_update(array)
