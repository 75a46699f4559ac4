"""The check finds planted faults, of every op and every kind, and says which."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convsmith.backends import OPS, reference
from convsmith.testing import check, report
from convsmith.testing.cases import cases_for
from convsmith.testing.check import Selection, run_case, run_check
from convsmith.testing.problem import Case, Out, Problem
from convsmith.workbench import Kernel
from convsmith.workbench import check as kernel_check
from convsmith.workbench.check import KernelReport, Stage


class Planted:
    """The reference under another name, with one op replaced."""

    NAME = "planted"

    def __init__(self, op: str = "", fault: Callable[..., None] | None = None) -> None:
        self._op, self._fault = op, fault

    def __getattr__(self, name: str) -> Any:
        if name == self._op and self._fault is not None:
            return self._fault
        return getattr(reference, name)


def few(op: str, seed: int = 0) -> tuple[Case, ...]:
    """Every seventh case, for speed."""
    return cases_for(op)[3::7]


@pytest.fixture
def fewer_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "cases_for", few)


def command(monkeypatch: pytest.MonkeyPatch, backend: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    if backend is not None:
        monkeypatch.setattr(report, "_load", lambda names: ([backend], []))
    return report.run(parser.parse_args(words))


def richest(op: str) -> Problem:
    """A problem of `op` with all its outputs, those that may be left out as well."""
    problems = [case.problem(op, case.fills[0]) for case in cases_for(op)[:8]]
    return max(problems, key=lambda problem: len(problem.outputs))


def slightly_wrong(op: str, which: int) -> Callable[..., None]:
    """The reference's op, its output number `which` then off by one part in a thousand."""
    arguments = richest(op).arguments
    place = [n for n, a in enumerate(arguments) if isinstance(a, Out)][which]

    def wrong(*arguments: Any, **keywords: Any) -> None:
        getattr(reference, op)(*arguments, **keywords)
        out = arguments[place]
        if out is not None and out.size:
            last = out.reshape(-1)[-1:]
            last += 1 if out.dtype.kind != "f" else np.float32(1e-3) * np.maximum(np.abs(last), 1)

    return wrong


def outputs(op: str) -> list[int]:
    return list(range(len(richest(op).outputs)))


@pytest.mark.parametrize(("op", "which"), [(op, n) for op in OPS for n in outputs(op)])
def test_a_planted_fault_is_found_and_named(
    op: str,
    which: int,
    fewer_cases: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, Planted(op, slightly_wrong(op, which)), "--op", op) == 1
    text = capsys.readouterr().out
    assert f"failed: planted {op}\n" in text
    assert f"      {op} on " in text
    assert "FAIL" in text


def test_a_faultless_backend_passes(
    fewer_cases: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, Planted()) == 0
    text = capsys.readouterr().out
    assert " 0 failures: ok" in text
    assert all(op in text for op in OPS)
    assert "FAIL" not in text


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


def test_nothing_run_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nothing(Planted):
        def supports(self, op: str, dtype: Any, shape: Any = None) -> bool:
            return False

    assert command(monkeypatch, Nothing(), "--op", "add") == 1
    text = capsys.readouterr().out
    assert "planted: not supported, so not run: add" in text
    assert "0 runs, 0 failures: FAIL" in text


def test_a_backend_asked_for_that_cannot_run_is_a_failure(
    fewer_cases: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "why_not", lambda name: "not built")
    assert command(monkeypatch, None, "--backend", "native_cpu", "--op", "add") == 1
    assert "native_cpu: not available: not built" in capsys.readouterr().out


def test_the_reference_backend_passes_by_command(
    fewer_cases: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, None, "--backend", "reference", "--op", "softmax", "add") == 0
    assert "softmax_cross_entropy" in capsys.readouterr().out


def test_unknown_ops_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, None, "--op", "conv3d") == 2
    assert "got 'conv3d', wanted one of conv2d_forward" in capsys.readouterr().err
    assert report.matching_ops(["conv2d"]) == OPS[:4]


def test_progress_is_told(fewer_cases: None) -> None:
    calls: list[tuple[int, int, str]] = []
    results = run_check(("add",), [Planted()], progress=lambda *call: calls.append(call))
    assert len(calls) == len(results)
    assert calls[-1] == (len(results), len(results), "planted add")


class Algorithms(Planted):
    """The reference with two algorithms, of which one forgets the last output channel."""

    def algorithms(self, op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
        return ("direct", "fft")

    def conv2d_forward(self, x: Any, w: Any, y: Any, s: Any, e: Any, *, algorithm: str) -> None:
        reference.conv2d_forward(x, w, y, s, e)
        if algorithm == "fft":
            y[..., -1] = 0


def test_a_failure_comes_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "cases_for", few)
    record = tmp_path / "check.json"
    words = ("--op", "conv2d_forward", "--json", str(record))
    assert command(monkeypatch, Algorithms(), *words) == 1
    text = capsys.readouterr().out
    rows = {line.split()[0:2][-1]: line for line in text.splitlines() if "conv2d_forward" in line}
    assert "FAIL" in rows["fft"] and "algorithm=fft: y at (" in text

    found = json.loads(record.read_text())
    failed = [run for run in found["runs"] if not run["ok"]]
    assert found["failures"] == len(failed) > 0
    assert {run["algorithm"] for run in failed} == {"fft"}
    assert all(run["share"] is not None or not run["ok"] for run in found["runs"])
    again = shlex.split(failed[0]["command"])
    assert failed[0]["command"] in text
    at = again.index("--backend")
    assert again[:2] == ["convsmith", "check"] and again[at + 1] == "planted"
    del again[at : at + 2]  # a backend that only this test knows
    assert command(monkeypatch, Algorithms(), *again[2:]) == 1
    assert "1 runs, 1 failures: FAIL" in capsys.readouterr().out


def test_what_is_run_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--op", "conv2d_forward", "--algorithm", "direct")
    assert command(monkeypatch, Algorithms(), *words, "--exact") == 0
    exact = len(run_check(("conv2d_forward",), [reference], Selection(fills=("integer",))))
    assert exact > 50 and "FAIL" not in capsys.readouterr().out
    assert command(monkeypatch, Algorithms(), *words, "--algorithm", "winograd") == 1
    assert "0 runs" in capsys.readouterr().out


def test_cases_and_files_that_do_not_exist_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, Planted(), "--op", "add", "--case", "elementwise-add-2") == 2
    assert "--case: got 'elementwise-add-2', wanted the name of a case" in capsys.readouterr().err
    assert command(monkeypatch, Planted(), "--json", "/no/such/folder/file.json") == 2
    assert "wanted a file in a folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--dtype", "float32"),
        ("--fill", "integer"),
        ("--batch", "0"),
        ("--op", "add"),
        ("--exact",),
    ],
)
def test_options_that_a_kernel_of_ones_own_would_ignore(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, None, "--kernel", "mine", *words) == 2
    assert f"check: {words[0]}: got one with --kernel, wanted none" in capsys.readouterr().err


def test_the_record_of_a_kernel_has_its_stages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results = run_check(("add",), [Planted()])[:2]
    bad = replace(results[1], ok=False)
    stages = [
        Stage("results", runs=2, failures=["add on a case (real): y"]),
        Stage("races", runs=3, failures=["add.cu:5: race"], not_run=4),
    ]
    report_of_it = KernelReport(Kernel(op="add", source="add.cu"), stages, [results[0], bad])
    monkeypatch.setattr(kernel_check, "run", lambda *arguments: report_of_it)
    file = tmp_path / "check.json"
    words = ("--kernel", "my folder", "--seed", "7", "--json", str(file))
    assert command(monkeypatch, None, *words) == 1
    found = json.loads(file.read_text())
    again = "convsmith check --kernel 'my folder' --seed 7"
    assert found["failures"] == 2 and found["command"] == again
    assert [run.get("command") for run in found["runs"]] == [None, again]
    assert found["stages"][1] == {
        "title": "races",
        "runs": 3,
        "failures": ["add.cu:5: race"],
        "not_run": 4,
    }


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
