"""The command: what it runs, prints, records and refuses; every planted fault is named."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from planted import Algorithms, Planted, command, few, richest, slightly_wrong

from convsmith.backends import OPS, reference
from convsmith.testing import check, report
from convsmith.testing.check import Selection, run_check
from convsmith.workbench import Kernel
from convsmith.workbench import check as kernel_check
from convsmith.workbench.check import KernelReport, Stage


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
