"""How a backend is chosen: order, fallback, forcing, and arrays that do not go together."""

from __future__ import annotations

import importlib.util
import sys
import threading
import types

import numpy as np
import pytest

import convsmith
from convsmith import backends, ops
from convsmith.backends import native_cpu, reference, table

X = np.ones((2, 3), np.float32)


def stub(name, *, dtypes=("float32",), only=table.OPS, reason=None):
    """A backend that fills every output with its own mark, 7."""
    module = types.ModuleType(f"convsmith.backends.{name}")
    module.NAME = name
    module.empty = np.empty
    module.supports = lambda op, dtype, shape=None: (
        reason is None and np.dtype(dtype).name in dtypes and op in only
    )
    module.algorithms = lambda op, dtype, shape=None: ("direct",)
    module.unavailable_reason = lambda: reason
    module.add = lambda a, b, y: y.fill(7)
    return module


@pytest.fixture
def native(monkeypatch):
    """Puts a stub in the place of the native backend."""

    def install(**options):
        monkeypatch.setitem(table._modules, "native_cpu", stub("native_cpu", **options))

    return install


def test_the_first_backend_that_supports_the_case_wins(native):
    native(only=("add",))
    assert ops.add(X, X)[0, 0] == 7
    assert convsmith.which_backend("add") == "native_cpu"
    assert convsmith.which_backend("add", "float64") == "reference"
    assert convsmith.which_backend("add", X.astype(np.float16)) == "reference"
    assert convsmith.which_backend("gemm", X) == "reference"
    assert ops.add(X.astype(np.float64), X.astype(np.float64))[0, 0] == 2
    assert table.select("add", (X, X), X.dtype).NAME == "native_cpu"


def test_an_unavailable_backend_is_passed_over_and_says_why(native):
    native(reason="it was not built")
    assert ops.add(X, X)[0, 0] == 2
    assert "native_cpu" not in convsmith.available_backends()
    assert "reference" in convsmith.available_backends()
    assert backends.why_not("native_cpu") == "it was not built"
    assert backends.why_not("reference") == ""


def test_forcing(native):
    native()
    with convsmith.use_backend("reference"):
        assert convsmith.which_backend("add", X) == "reference"
        assert ops.add(X, X)[0, 0] == 2
        with convsmith.use_backend("native_cpu"):
            assert ops.add(X, X)[0, 0] == 7
        assert ops.add(X, X)[0, 0] == 2
    assert ops.add(X, X)[0, 0] == 7


def test_forcing_ends_with_the_block_when_it_raises(native):
    native()
    with pytest.raises(KeyError), convsmith.use_backend("reference"):
        raise KeyError
    assert ops.add(X, X)[0, 0] == 7


def test_forcing_decorates_a_function(native):
    native()

    @convsmith.use_backend("reference")
    def run():
        return ops.add(X, X)[0, 0]

    assert (run(), run(), ops.add(X, X)[0, 0]) == (2, 2, 7)


def test_forcing_is_of_this_thread_alone(native):
    native()
    seen = []
    with convsmith.use_backend("reference"):
        thread = threading.Thread(target=lambda: seen.append(convsmith.which_backend("add")))
        thread.start()
        thread.join()
    assert seen == ["native_cpu"]


def test_a_forced_backend_that_does_not_support_the_case_raises(native):
    native(only=("gemm",))
    with convsmith.use_backend("native_cpu"):
        wanted = "add: got dtype float32 for the backend native_cpu, forced .* wanted .*reference"
        with pytest.raises(ValueError, match=wanted):
            ops.add(X, X)
        with pytest.raises(ValueError, match="gemm: got dtype float64"):
            ops.gemm(X.astype(np.float64), X.astype(np.float64), transpose_b=True)
        with pytest.raises(ValueError, match="add: got dtype float32"):
            convsmith.which_backend("add")


def test_forcing_what_is_not_there(native):
    native(reason="it was not built")
    with (
        pytest.raises(RuntimeError, match="'native_cpu', which is not available: it was not built"),
        convsmith.use_backend("native_cpu"),
    ):
        pass
    with (
        pytest.raises(ValueError, match="got 'cudnn', wanted one of native_cpu, reference"),
        convsmith.use_backend("cudnn"),
    ):
        pass
    with pytest.raises(ValueError, match="got 'cudnn', wanted one of"):
        backends.why_not("cudnn")


class Fake:
    """An array of a library that the table gets a row for."""

    dtype = np.dtype(np.float32)

    def __dlpack__(self, **_):
        raise AssertionError("nothing may be moved between devices silently")


@pytest.fixture
def fake_row(monkeypatch):
    """A second kind of array, and a backend for it: one line each, as for any device."""
    row = table.Row(table.type_name(Fake), ("fake",))
    monkeypatch.setattr(table, "ROWS", (*table.ROWS, row))
    monkeypatch.setattr(table, "_row_of_type", {})
    monkeypatch.setitem(table._modules, "fake", stub("fake"))


def test_a_row_of_its_own_for_another_kind(fake_row):
    assert table.select("add", (Fake(), Fake()), "float32").NAME == "fake"
    assert convsmith.which_backend("add", Fake()) == "fake"
    assert convsmith.which_backend("add", X) in ("native_cpu", "reference")
    assert "fake" in convsmith.available_backends()


def test_mixed_kinds(fake_row):
    for arrays in ((X, Fake()), (Fake(), X)):
        with pytest.raises(TypeError, match=r"add: .*numpy.*nothing is moved between devices"):
            table.select("add", arrays, "float32")
    with pytest.raises(TypeError, match=r"add: b: got a test_table.Fake, wanted a numpy.ndarray"):
        ops.add(X, Fake())


def test_a_forced_backend_of_another_kind(fake_row):
    with (
        convsmith.use_backend("fake"),
        pytest.raises(TypeError, match=r"add: got a numpy.ndarray, which the backend fake, forced"),
    ):
        ops.add(X, X)


def test_unknown_kinds_and_ops():
    with pytest.raises(TypeError, match=r"add: .*: got a builtins.list, wanted a numpy.ndarray"):
        table.select("add", ([1.0],), "float32")
    with pytest.raises(TypeError, match=r"got a test_table.Fake, wanted a numpy.ndarray"):
        convsmith.which_backend("add", Fake())
    with pytest.raises(ValueError, match="add: arrays: got none"):
        table.select("add", (), "float32")
    with pytest.raises(ValueError, match=r"op: got 'conv2d', wanted one of .*conv2d_forward"):
        convsmith.which_backend("conv2d")


def test_every_op_has_one_name_everywhere():
    for op in table.OPS:
        assert callable(getattr(ops, op)), op
        assert callable(getattr(reference, op)), op
        assert callable(getattr(native_cpu, op)), op
        assert all(reference.supports(op, dtype) for dtype in ("float16", "float32", "float64"))


def fresh_native_cpu(monkeypatch, module):
    """native_cpu as it would be with this native module, None for a missing one."""
    monkeypatch.setitem(sys.modules, "convsmith._cpu", module)
    spec = importlib.util.find_spec("convsmith.backends.native_cpu")
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    monkeypatch.setitem(table._modules, "native_cpu", backend)
    return backend


def test_native_cpu_without_its_module_says_why(monkeypatch):
    backend = fresh_native_cpu(monkeypatch, None)
    assert not backend.supports("add", np.dtype(np.float32))
    assert backend.algorithms("add", np.dtype(np.float32)) == ()
    assert "convsmith._cpu could not be imported" in backends.why_not("native_cpu")
    assert ops.add(X, X)[0, 0] == 2


def test_native_cpu_supports_what_its_module_has_in_float32(monkeypatch):
    calls = []
    module = types.ModuleType("convsmith._cpu")
    module.add = lambda *arguments: calls.append(arguments)
    module.empty = np.empty
    module.algorithms = lambda op, shape: ["direct", "winograd"]
    backend = fresh_native_cpu(monkeypatch, module)
    assert backend.unavailable_reason() is None
    assert backend.supports("add", np.dtype(np.float32))
    assert not backend.supports("add", np.dtype(np.float64))
    assert not backend.supports("gemm", np.dtype(np.float32))
    assert backend.algorithms("add", np.dtype(np.float32)) == ("direct", "winograd")
    y = ops.add(X, X)
    assert all(got is wanted for got, wanted in zip(*calls, (X, X, y), strict=True))


def test_a_backend_on_request_is_never_chosen_by_itself(native):
    native(reason="it was not built")
    assert "simt" in table.ROWS[0].on_request
    assert convsmith.which_backend("add", X) == "reference"
    if backends.why_not("simt"):
        pytest.skip(backends.why_not("simt"))
    with convsmith.use_backend("simt"):
        assert convsmith.which_backend("add", X) == "simt"
        assert ops.add(X, X)[0, 0] == 2
