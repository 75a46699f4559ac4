"""The engine finds faults of every kind, and says which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planted import Algorithms, Planted, slightly_wrong

from convsmith.backends import OPS, reference
from convsmith.testing import check
from convsmith.testing.cases import cases_for
from convsmith.testing.check import Selection, run_case, run_check


def first_run(op: str, fault: Callable[..., None], number: int = 0) -> check.Result:
    case = cases_for(op)[number]
    return run_case(case, op, Planted(op, fault), case.fills[-1])


def test_an_output_left_alone_is_found() -> None:
    for op in OPS:
        if op not in ("sgd_update", "adam_update"):
            result = first_run(op, lambda *arguments, **keywords: None)
            assert not result.ok and "nan" in result.message, op


def test_an_exception_is_a_failure_and_the_rest_goes_on(fewer_cases: None) -> None:
    def broken(*arguments: Any, **keywords: Any) -> None:
        raise RuntimeError("no kernel image")

    results = run_check(("add", "softmax_forward"), [Planted("add", broken)])
    assert {r.op for r in results if not r.ok} == {"add"}
    assert {r.op for r in results} == {"add", "softmax_forward"}
    assert "raised RuntimeError: no kernel image" in results[0].message


def test_a_write_past_the_end_is_found() -> None:
    def past(a: Any, b: Any, y: Any) -> None:
        reference.add(a, b, y)
        np.lib.stride_tricks.as_strided(y.reshape(-1), (y.size + 1,))[-1] = 0

    result = first_run("add", past)
    assert not result.ok and "wrote outside the output y" in result.message


def test_a_changed_input_is_found() -> None:
    def changes(a: Any, b: Any, y: Any) -> None:
        reference.add(a, b, y)
        a += 1

    result = first_run("add", changes)
    assert not result.ok and "changed an input" in result.message


def test_a_result_that_varies_is_found() -> None:
    rng = np.random.default_rng(0)

    def varies(x: Any, y: Any) -> None:
        reference.softmax_forward(x, y)
        y *= 1 + np.float32(1e-6) * rng.integers(0, 3, y.shape).astype(np.float32)

    result = first_run("softmax_forward", varies, 4)
    assert not result.ok and "differs from one run to the next" in result.message


def test_a_read_of_the_output_with_beta_zero_is_found() -> None:
    def reads(a: Any, b: Any, c: Any, shape: Any, epilogue: Any, *, alpha: Any, beta: Any) -> None:
        before = c.copy()
        reference.gemm(a, b, c, shape, epilogue, alpha=alpha, beta=beta)
        c += np.float32(0) * before

    assert not first_run("gemm", reads).ok


def test_one_pass_variance_is_found() -> None:
    def one_pass(x: Any, gamma: Any, beta: Any, y: Any, mean: Any, var: Any, *, eps: Any) -> None:
        reference.batch_norm_forward(x, gamma, beta, y, mean, var, eps=eps)
        square = (x * x).mean(axis=0, dtype=np.float32)
        var[...] = square - x.mean(axis=0, dtype=np.float32) ** 2

    fake = Planted("batch_norm_forward", one_pass)
    results = run_check(("batch_norm_forward",), [fake])
    assert any("var" in r.message and "mean100.0" in r.case for r in results if not r.ok)


def test_a_softmax_whose_maximum_starts_at_zero_is_found() -> None:
    def from_zero(x: Any, y: Any) -> None:
        with np.errstate(invalid="ignore"):
            powers = np.exp(x - np.maximum(x.max(axis=-1, keepdims=True), 0))
            y[...] = powers / powers.sum(axis=-1, keepdims=True)

    results = run_check(("softmax_forward",), [Planted("softmax_forward", from_zero)])
    assert {r.case for r in results if not r.ok} == {
        "softmax-6x10-spread1.0-offset-500.0",
        "softmax-5x33-spread1.0-offset-500.0",
        "softmax-3x257-spread1.0-offset-500.0",
    }


def test_tf32_is_found_by_both_fills() -> None:
    def short(array: np.ndarray) -> np.ndarray:
        return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)

    def tf32(a: Any, b: Any, c: Any, *rest: Any, **keywords: Any) -> None:
        reference.gemm(short(a), short(b), c, *rest, **keywords)

    results = run_check(("gemm",), [Planted("gemm", tf32)])
    failed = {r.fill for r in results if not r.ok}
    assert failed == {"integer", "real"}
    assert sum(not r.ok for r in results) > 0.8 * len(results)


def test_every_algorithm_is_run_and_winograd_is_judged_by_norm() -> None:
    seen: list[str] = []

    class Two(Planted):
        def algorithms(self, op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
            return ("winograd_2x2", "direct")

    def forward(x: Any, weight: Any, y: Any, shape: Any, epilogue: Any, *, algorithm: str) -> None:
        seen.append(algorithm)
        reference.conv2d_forward(x, weight, y, shape, epilogue)
        if algorithm != "direct":
            y *= np.float32(1 + 1e-6)

    case = cases_for("conv2d_forward")[0]
    result = run_case(case, "conv2d_forward", Two("conv2d_forward", forward), "integer")
    assert result.ok and 0 < result.share < 1
    assert list(dict.fromkeys(seen)) == ["auto", "winograd_2x2", "direct"]


def test_the_reference_is_held_against_loops_not_itself(fewer_cases: None) -> None:
    class Wrong(Planted):
        NAME = "reference"

    results = run_check(("add",), [Wrong("add", slightly_wrong("add", 0))])
    assert results and not all(r.ok for r in results)
    truth, cases = check._truth_and_cases(reference, "conv2d_forward", check.EVERYTHING)
    assert truth is check.loops and all(c.cost <= check.LOOPS_LIMIT for c in cases)


def test_progress_is_told(fewer_cases: None) -> None:
    calls: list[tuple[int, int, str]] = []
    results = run_check(("add",), [Planted()], progress=lambda *call: calls.append(call))
    assert len(calls) == len(results)
    assert calls[-1] == (len(results), len(results), "planted add")


def test_a_network_is_checked_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    selection = Selection(networks=("alexnet",), fills=("integer",))
    cases = selection.cases_for("conv2d_backward_weight")
    assert len(cases) == 5 and cases[0].id.startswith("conv2d-1x227x227x3-o96k11x11-s4x4")
    assert not selection.cases_for("add")
    wrong = Selection(networks=("alexnet",), cases=(cases[-1].id,), fills=("integer",))
    results = run_check(("conv2d_forward",), [Algorithms()], wrong)
    assert [(r.algorithm, r.ok) for r in results] == [
        ("auto", True),
        ("direct", True),
        ("fft", False),
    ]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_rounded_once(dtype: str) -> None:
    """What is computed exactly and rounded once passes, to the bit where it is a copy."""
    pytest.importorskip("ml_dtypes")

    class Narrow(Planted):
        def supports(self, op: str, dtype: Any, shape: Any = None) -> bool:
            return True

    selection = Selection(dtypes=(dtype,))
    ops = ("add", "softmax_forward", "upsample_nearest2d_forward", "batch_norm_forward")
    results = run_check(ops, [Narrow()], selection)
    assert all(r.ok and r.dtype == dtype for r in results), [r for r in results if not r.ok][:3]
    assert {r.op for r in results} == set(ops)

    def doubled(a: Any, b: Any, y: Any) -> None:
        y[...] = (a + b) * np.asarray(1.01, y.dtype)

    results = run_check(("add",), [Narrow("add", doubled)], selection)
    assert sum(not r.ok for r in results) > len(results) / 2
