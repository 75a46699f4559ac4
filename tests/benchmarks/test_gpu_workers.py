"""What the workers of the GPU report call, called: CuPy's backend on NumPy arrays stands in."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from convsmith.backends import cupy_fallback
from convsmith.backends.table import OPS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


class Event:
    def record(self):
        pass

    synchronize = record


def stand_in():
    """NumPy under CuPy's name, with a clock that always says 2 ms."""
    cupy = types.ModuleType("cupy")
    cupy.__getattr__ = lambda name: getattr(np, name)
    cupy.asnumpy = np.asarray
    rng = np.random.default_rng(0)
    cupy.random = types.SimpleNamespace(
        standard_normal=lambda shape, dtype: rng.standard_normal(shape, dtype),
        randint=lambda low, high, size, dtype: rng.integers(low, high, size, dtype),
    )
    cupy.cuda = types.SimpleNamespace(
        Event=Event,
        get_elapsed_time=lambda start, end: 2.0,
        Device=lambda: types.SimpleNamespace(id=0, synchronize=lambda: None),
        set_allocator=lambda allocator: None,
        runtime=types.SimpleNamespace(getDeviceProperties=lambda _: {"l2CacheSize": 1024}),
    )
    return cupy


@pytest.fixture
def gpu(monkeypatch):
    """The modules timing and correctness over the stand-ins."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in())
    for name in ("gpu.timing", "gpu.correctness"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from gpu import correctness, timing

    for module in (correctness, timing):
        monkeypatch.setattr(module, "native_cuda", cupy_fallback)
    monkeypatch.setattr(correctness, "on_numpy", lambda backend: backend)
    for name, value in {"BATCH": 1, "GEMM_SIZE": 64, "ROWS": 4, "PARAMETERS": 100}.items():
        monkeypatch.setattr(timing, name, value)
    with np.errstate(all="ignore"):
        yield types.SimpleNamespace(correctness=correctness, timing=timing)
    for name in ("gpu.timing", "gpu.correctness"):
        sys.modules.pop(name, None)


def test_every_op_is_timed(gpu, monkeypatch):
    assert set(gpu.timing.MAKERS) == set(OPS)
    monkeypatch.setattr(gpu.timing, "time_ms", lambda run: (run(), 2.0)[1])
    for op in OPS:
        found = gpu.timing.time_op(f"{op} float32")
        assert found["ms"] == 2.0 and found["gb_per_s"] > 0, op
    assert found.keys() == {"ms", "gb_per_s"}
    assert gpu.timing.time_op("gemm float32")["tflop_per_s"] > 0
    with pytest.raises(TypeError, match="got dtype int32, wanted float32"):
        gpu.timing.time_op("add int32")


def test_a_copy_reads_and_writes(gpu):
    assert gpu.timing.copy_bandwidth("1 MiB") == {"ms": 2.0, "gb_per_s": 2 * 2**20 / 2e6}


@pytest.mark.parametrize(
    "op", ["add", "conv2d_backward_weight", "max_pool2d_forward", "adam_update"]
)
def test_correctness_items(gpu, op):
    assert gpu.correctness.check_op(op)["ok"]
    assert gpu.correctness.same_bits(op)["cases"] > 0
    assert gpu.correctness.run_small_cases(op)["ok"]


@pytest.mark.parametrize("op", ["gemm", "conv2d_forward", "conv2d_backward_input"])
def test_sixteen_bit_items(gpu, op):
    found = gpu.correctness.check_op(f"{op} float16")
    assert found["ok"] and found["runs"] > 100, found


def test_a_wrong_backend_is_found(gpu, monkeypatch):
    wrong = types.SimpleNamespace(
        **{name: getattr(cupy_fallback, name) for name in dir(cupy_fallback)}
    )
    wrong.add = lambda a, b, y: y.fill(0)
    monkeypatch.setattr(gpu.correctness, "native_cuda", wrong)
    found = gpu.correctness.check_op("add")
    assert not found["ok"] and found["failures"]


def test_distance_never_forgives_a_nan(gpu):
    distance = gpu.correctness._distance
    one, nan = np.ones(3), np.array([1, np.nan, 1])
    assert distance(one, one) == distance(nan, nan) == 0
    assert distance(nan, one) == distance(one, nan) == float("inf")
    assert distance(np.array([1, 1, 1.1]), one) == pytest.approx(0.1 / np.sqrt(3))
