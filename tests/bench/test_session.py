"""Every timed result equals the reference; a wrong one is an error, never a number."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convsmith import _cpu
from convsmith.backends import reference
from convsmith.bench import record, table
from convsmith.bench.session import Plan, Session
from convsmith.bench.work import LIMITS, Contender, Work, backend_contender, fault, truth
from convsmith.bench.works import works
from convsmith.nn import Linear

peer_names = [
    name
    for name in ("torch", "onnxruntime", "numpy")
    if importlib.util.find_spec(name)
    and (name != "onnxruntime" or importlib.util.find_spec("onnx"))
]


def peers(*names: str) -> list[Any]:
    return [importlib.import_module(f"convsmith.bench.peers.{name}_peer") for name in names]


def some(*ops: str, batch: int = 2) -> list[Work]:
    return [work for work in works(["resnet18"], [batch]) if work.op in ops]


def run(plan: Plan, alter: Any = None) -> dict[str, Any]:
    session = Session(plan, alter) if alter else Session(plan)
    session.measure_limits()
    for _ in session.run():
        pass
    return session.record()


def test_every_op_of_every_peer_equals_the_reference() -> None:
    everything = works(["resnet18", "matrices", "demo"], [2])
    threads = [_cpu.num_threads()]  # NumPy's BLAS may not be told another number
    plan = Plan(everything, ["native_cpu"], threads=threads, peers=peers(*peer_names), repeats=1)
    found = run(plan)
    assert found["complete"] and len(found["rows"]) == len(everything)
    timed: dict[str, set[str]] = {}
    for row in found["rows"]:
        for name, entry in row["contenders"].items():
            assert not entry["error"], f"{row['op']} {name}: {entry['error']}"
            assert len(entry["samples"]["ms"]) >= 1
            timed.setdefault(entry["peer"] or name, set()).add(row["op"])
    ops = {work.op for work in everything}
    assert timed["native_cpu"] == ops
    if "torch" in peer_names:
        assert ops - timed["torch"] == {"local_response_norm_backward"}
    if "onnxruntime" in peer_names:
        assert {"conv2d_forward", "gemm", "add", "max_pool2d_forward"} <= timed["onnxruntime"]
    assert {"conv2d_forward", "gemm", "add", "activation_backward"} <= timed["numpy"]


def wrong(name: str) -> Any:
    """Makes a contender's result wrong in one element."""

    def alter(work: Work, contender: Contender) -> Contender:
        if not contender.name.startswith(name):
            return contender

        def result(found: Any) -> tuple[Any, ...]:
            first, *rest = contender.result(found)
            spoiled = first.copy()
            spoiled.flat[-1] += 100
            return (spoiled, *rest)

        return replace(contender, result=result)

    return alter


@pytest.mark.parametrize("name", ["native_cpu", "numpy"])
def test_a_wrong_result_is_refused(name: str) -> None:
    plan = Plan(some("add"), ["native_cpu"], peers=peers("numpy"), repeats=1)
    plan.threads = [_cpu.num_threads()]
    (row,) = run(plan, wrong(name))["rows"]
    entry = row["contenders"].pop(name)
    assert entry["samples"] is None and "differs from the reference by" in entry["error"]
    (other,) = row["contenders"].values()
    assert not other["error"] and other["samples"]["ms"]


@pytest.mark.parametrize(("off", "message"), [(0.0, ""), (1.0, "an element differs")])
def test_one_wrong_element_of_many_in_16_bits(off: float, message: str) -> None:
    y = np.random.default_rng(0).standard_normal(1 << 20)
    rounded = y.astype(np.float16)
    rounded[1000] += np.float16(off)
    contender = Contender("it", lambda inputs: lambda: (rounded,), tuple, LIMITS["float16"])
    assert message in (found := fault(contender, (), (y,))) and bool(found) == bool(message)


def test_a_wrong_backward_of_the_training_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (work,) = works(["demo"], [1])
    contender = backend_contender(work, "native_cpu", None, LIMITS["float32"])
    rng = np.random.default_rng(0)
    inputs = tuple(rng.standard_normal(i.shape).astype(np.float32) for i in work.inputs)
    expected = truth(work, inputs)
    assert len(expected) == 2 and not fault(contender, inputs, expected)
    real = Linear.backward

    def negated(self: Any, dy: Any, *rest: Any, **choices: Any) -> Any:
        return real(self, -dy, *rest, **choices)

    monkeypatch.setattr(Linear, "backward", negated)
    other = backend_contender(work, "native_cpu", None, LIMITS["float32"])
    assert fault(other, inputs, expected).startswith("output 1: differs from the reference")


def test_a_nan_and_an_exception_are_refused() -> None:
    def alter(work: Work, contender: Contender) -> Contender:
        if work.op == "add":
            return replace(contender, result=lambda found: (np.full((2, 9, 9, 24), np.nan),))
        return replace(contender, bind=lambda inputs: lambda: 1 / 0)

    found = run(Plan(some("add", "activation_forward"), ["native_cpu"], repeats=1), alter)
    errors = [row["contenders"]["native_cpu"]["error"] for row in found["rows"]]
    assert sorted(errors)[0].startswith("ZeroDivisionError: division by zero")
    assert "differs from the reference by nan" in sorted(errors)[1]
    assert [line.error for row in found["rows"] for line in table.lines_of(row)] == errors


def test_peer_first_swaps_the_order_in_every_round() -> None:
    orders = {}
    for peer_first in (False, True):
        calls: list[str] = []

        def alter(work: Work, contender: Contender, calls: list[str] = calls) -> Contender:
            def bind(inputs: Any) -> Any:
                call = contender.bind(inputs)
                return lambda: (calls.append(contender.name), call())[1]

            return replace(contender, bind=bind)

        plan = Plan(some("add"), ["native_cpu"], peers=peers("numpy"), repeats=2)
        plan.threads, plan.peer_first = [_cpu.num_threads()], peer_first
        found = run(plan, alter)
        orders[peer_first] = calls[2:6]  # after the two checks: a warm-up and a timed call each
        wanted = "peer-first" if peer_first else "subject-first"
        assert found["settings"]["order"] == wanted
    assert orders[False] == ["native_cpu"] * 2 + ["numpy"] * 2
    assert orders[True] == ["numpy"] * 2 + ["native_cpu"] * 2


def test_threads_are_set_for_each_row_and_put_back() -> None:
    before = _cpu.num_threads()
    seen = []

    def alter(work: Work, contender: Contender) -> Contender:
        seen.append(_cpu.num_threads())
        return contender

    found = run(Plan(some("add"), ["native_cpu"], threads=(1, 2), repeats=1), alter)
    assert seen == [1, 2] == [row["threads"] for row in found["rows"]]
    assert _cpu.num_threads() == before
    assert set(found["limits"]["gb_per_s"]) == {"1", "2"}


def test_every_algorithm() -> None:
    plan = Plan(some("conv2d_forward"), ["native_cpu", "reference"], algorithms=(), repeats=1)
    found = run(plan)
    for row, work in zip(found["rows"], plan.works, strict=True):
        listed = _cpu.algorithms(work.op, work.shape)
        names = [name for name in row["contenders"] if name.startswith("native_cpu")]
        assert names == [f"native_cpu {name}" for name in listed]
        assert any(name.startswith("reference") for name in row["contenders"])


def test_a_backend_without_a_list_of_algorithms_has_one_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reference, "algorithms", lambda op, dtype, shape: ())
    plan = Plan(some("conv2d_forward"), ["native_cpu", "reference"], algorithms=("direct",))
    plan.repeats = 1
    for row in run(plan)["rows"]:
        assert not row["contenders"]["reference"]["error"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_run_where_the_backend_has_them(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    several = some("add", "conv2d_forward", "activation_forward")
    torch = peers("torch") if "torch" in peer_names else []
    plan = Plan(several, ["reference"], dtypes=(dtype,), peers=torch, repeats=1)
    for row in run(plan)["rows"]:
        assert row["dtype"] == dtype
        for name, entry in row["contenders"].items():
            assert not entry["error"], f"{name}: {entry['error']}"


def test_ctrl_c_keeps_what_was_measured() -> None:
    session = Session(Plan(some("add", "activation_forward"), ["native_cpu"], repeats=1))
    before = _cpu.num_threads()

    def interrupted(work: Work, contender: Contender) -> Contender:
        if session.rows:
            raise KeyboardInterrupt
        return contender

    session.alter = interrupted
    with pytest.raises(KeyboardInterrupt):
        for _ in session.run():
            pass
    found = session.record()
    assert not found["complete"] and len(found["rows"]) == 1
    assert _cpu.num_threads() == before
    assert record.dump(found)


def test_numpy_and_cupy_backends_do_not_share_a_run() -> None:
    with pytest.raises(ValueError, match="wanted backends of one kind of array"):
        Session(Plan(some("add"), ["native_cpu", "native_cuda"]))
