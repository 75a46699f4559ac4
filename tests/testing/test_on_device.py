"""The check engine on a device backend: a device of NumPy arrays that nothing else may touch."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.backends import cupy_fallback, reference
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_case
from convsmith.testing.guard import GuardedArray
from convsmith.testing.on_device import OnDevice, buffer_of, on_numpy


class Device:
    """Counts what it holds; upload and download really copy."""

    def __init__(self):
        self.uploads = 0

    def upload(self, array):
        self.uploads += 1
        return array.copy()

    def download(self, array):
        return array.copy()


class Faulty:
    """A backend that adds right, and then does something that it must not."""

    NAME = "faulty"
    supports = staticmethod(reference.supports)
    algorithms = staticmethod(reference.algorithms)

    def __init__(self, fault):
        self.fault = fault

    def add(self, a, b, y):
        reference.add(a, b, y)
        self.fault(a, b, y)


def check(backend, op):
    case = cases_for(op)[0]
    device = Device()
    return run_case(case, op, OnDevice(backend, device.upload, device.download), "real"), device


@pytest.mark.parametrize("op", ["add", "conv2d_forward", "max_pool2d_forward", "sgd_update"])
def test_a_right_backend_passes(op):
    result, device = check(cupy_fallback, op)
    assert result.ok, result.message
    assert result.backend == "cupy_fallback"
    assert device.uploads


def beyond(array):
    """The element after the last one of a view into a larger buffer."""
    base = array if array.base is None else array.base
    start = (array.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // 4
    return base.reshape(-1)[start + array.size :]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda a, b, y: beyond(y).__setitem__(0, 1), "wrote outside the output y"),
        (lambda a, b, y: a.__setitem__(..., 0), "changed an input"),
        (lambda a, b, y: beyond(b).__setitem__(0, 1), "changed an input"),
        (lambda a, b, y: y.reshape(-1).__setitem__(0, np.nan), "y"),
    ],
)
def test_faults_on_the_device_are_seen(fault, message):
    result, _ = check(Faulty(fault), "add")
    assert not result.ok
    assert message in result.message


def test_the_buffer_of_a_guarded_array_holds_its_bands():
    guarded = GuardedArray((3, 4), np.float32, shift=5)
    assert buffer_of(guarded.array).size > 12
    plain = np.zeros((3, 4))
    assert buffer_of(plain).shape == (12,)
    assert np.shares_memory(buffer_of(plain), plain)


def test_only_cupys_backends_are_wrapped():
    assert on_numpy(reference) is reference
    with pytest.raises(AttributeError, match="no op 'conv3d'"):
        OnDevice(reference, np.copy, np.copy).conv3d  # noqa: B018
