"""`convsmith bench`: options, exit codes, what is written, Ctrl-C."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convsmith import cli
from convsmith.bench import climb, record, session
from convsmith.bench.work import Contender, Work
from convsmith.machine import usable_cpus

QUICK = ["bench", "--network", "resnet18", "--batch", "2", "--repeats", "1"]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and text.startswith("convsmith bench: "), text
    return text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "lenet"], "argument --network: invalid choice: 'lenet'"),
        (["--op", "conv3d"], "--op: got 'conv3d', wanted one of conv2d_forward"),
        (["--direction", "up"], "argument --direction: invalid choice: 'up'"),
        (["--layer", "nope"], "--layer: got 'nope', wanted one of conv1, conv2"),
        (["--batch", "0"], "--batch: got 0, wanted at least 1"),
        (["--batch", "two"], "argument --batch: invalid int value: 'two'"),
        (["--threads", "0"], "--threads: got 0, wanted at least 1"),
        (["--threads", "9999"], f"--threads: got 9999, wanted at most {usable_cpus()}"),
        (["--repeats", "0"], "--repeats: got 0, wanted at least 1"),
        (["--dtype", "int8"], "argument --dtype: invalid choice: 'int8'"),
        (["--backend", "abacus"], "argument --backend: invalid choice: 'abacus'"),
        (["--backend", "native_cuda"], "--backend: got native_cuda, which cannot run here:"),
        (["--algorithm", "magic"], "--algorithm: got 'magic', wanted one of"),
        (["--against", "caffe"], "argument --against: invalid choice: 'caffe'"),
        (["--order", "random"], "argument --order: invalid choice: 'random'"),
        (["--op", "gemm", "--direction", "forward"], "got a selection that resnet18 has nothing"),
        (["--check", "f.json"], "--check: got no --plot or --report"),
        (["--compare", "one"], "argument --compare: expected 2 arguments"),
        (["--compare", "/no/a", "/no/b"], "No such file or directory: '/no/a'"),
        (["--record", "/no/a"], "No such file or directory: '/no/a'"),
        (["--json", "."], "got the folder ., wanted a file to write"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "--network", "resnet18", *arguments]) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "module", "message"),
    [
        (["--against", "torch"], "torch", "--against torch: PyTorch cannot be imported"),
        (["--against", "onnxruntime"], "onnxruntime", "pip install 'convsmith[onnxruntime]'"),
        (["--against", "cupy"], "cupy", "pip install 'convsmith[cuda13]'"),
        (["--plot", "x"], "matplotlib", "pip install 'convsmith[bench]'"),
    ],
)
def test_a_missing_extra_is_named(
    arguments: list[str],
    module: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main([*QUICK, *arguments]) == 2
    assert message in one_line(capsys)


def test_a_run_with_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    files = ["--json", str(tmp_path / "r.json"), "--plot", str(tmp_path / "plots")]
    files += ["--report", str(tmp_path / "r.html")]
    threads = ["--threads", str(usable_cpus())]
    arguments = ["--op", "conv2d", "add", "--against", "numpy", "--order", "peer-first"]
    assert cli.main([*QUICK, *arguments, *threads, *files]) == 0
    out = capsys.readouterr().out
    for text in ("GFLOP/s", "GB/s", "limit", "x numpy", "resnet18 conv2", "time-weighted"):
        assert text in out
    assert "geometric mean over all rows, native_cpu against numpy:" in out
    found = record.read(tmp_path / "r.json")
    assert len(found["rows"]) == 13 and found["settings"]["order"] == "peer-first"
    assert (tmp_path / "plots" / "roofline.png").exists() and (tmp_path / "r.html").exists()
    again = [
        "bench",
        "--record",
        str(tmp_path / "r.json"),
        "--report",
        str(tmp_path / "again.html"),
    ]
    assert cli.main(again) == 0
    shown = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("resnet18")] == [
        line for line in shown.splitlines() if line.startswith("resnet18")
    ]
    same = [str(tmp_path / "r.json")] * 2
    assert cli.main(["bench", "--compare", *same]) == 0
    assert "13 compared, 0 slower, 0 faster" in capsys.readouterr().out


def test_a_selection_that_no_backend_can_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--network", "matrices", "--layer", "skinny 1x", "--dtype", "float16"]
    assert cli.main(["bench", *words, "--threads", "1"]) == 2
    assert "got native_cpu with float16, which can run none of" in one_line(capsys)


def test_layers_directions_and_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--layer", "conv2", "--direction", "forward", "--algorithm", "all"]
    assert cli.main([*QUICK, *chosen, "--threads", "1"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("resnet18")]
    assert rows and all("conv2 " in line and "conv2d_forward" in line for line in rows)


def test_the_ladder_is_the_packages_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "benchmarks" / "ladder"
    other.mkdir(parents=True)
    (other / "ladder.py").write_text("raise RuntimeError('not this one')")
    package = tmp_path / "tree" / "python" / "convsmith" / "__init__.py"
    own = tmp_path / "tree" / "benchmarks" / "ladder"
    own.mkdir(parents=True)
    (own / "ladder.py").write_text("NAME = 'own'")
    monkeypatch.setattr(climb.convsmith, "__file__", str(package))
    monkeypatch.chdir(tmp_path)
    assert climb.load_ladder().NAME == "own"


def test_a_ladder_that_does_not_compile_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, progress: Any) -> None:
        raise subprocess.CalledProcessError(1, ["c++", "-O3"])

    ladder = types.SimpleNamespace(run=run)
    monkeypatch.setattr("convsmith.commands.bench.load_ladder", lambda: ladder)
    assert cli.main(["bench", "--ladder", "gemm"]) == 2
    assert "--ladder: got exit code 1 from c++" in one_line(capsys)


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what Session does to its contenders."""

    def install(alter: Any) -> None:
        made = session.Session

        def build(plan: session.Plan) -> session.Session:
            return made(plan, alter)

        monkeypatch.setattr("convsmith.commands.bench.Session", build)

    return install


def test_ctrl_c_writes_what_is_there(
    altered: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    seen: list[str] = []

    def interrupted(work: Work, contender: Contender) -> Contender:
        seen.append(work.op)
        if len(seen) > 2:
            raise KeyboardInterrupt
        return contender

    altered(interrupted)
    files = ["--json", str(tmp_path / "r.json"), "--report", str(tmp_path / "r.html")]
    assert cli.main([*QUICK, *files, "--plot", str(tmp_path / "plots"), "--threads", "1"]) == 130
    captured = capsys.readouterr()
    assert "stopped by Ctrl-C: 2 rows were kept" in captured.err
    assert sum(line.startswith("resnet18") for line in captured.out.splitlines()) == 2
    found = record.read(tmp_path / "r.json")
    assert not found["complete"] and len(found["rows"]) == 2
    assert "Stopped before the end" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "plots" / "roofline.png").exists()


def test_a_wrong_result_is_a_row_and_exit_code_1(
    altered: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(work: Work, contender: Contender) -> Contender:
        return replace(contender, result=lambda y: (2 * contender.result(y)[0],))

    altered(wrong)
    assert cli.main([*QUICK, "--op", "add", "--json", str(tmp_path / "r.json")]) == 1
    out = capsys.readouterr().out
    assert "ERROR output 0: differs from the reference by 1.0e+00 of its norm" in out


def test_compare_exits_1_for_a_slower_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    assert cli.main([*QUICK, "--op", "add", "--threads", "1", "--json", str(old)]) == 0
    slower = json.loads(old.read_text())
    samples = slower["rows"][0]["contenders"]["native_cpu"]["samples"]
    for key in ("ms", "cpu_ms"):
        samples[key] = [3 * value + 1 for value in samples[key]]
    new.write_text(json.dumps(slower))
    capsys.readouterr()
    assert cli.main(["bench", "--compare", str(old), str(new)]) == 1
    assert "SLOWER resnet18 add add (batch 2, 1 thread(s), float32, native_cpu)" in (
        capsys.readouterr().out
    )
    assert cli.main(["bench", "--compare", str(new), str(old)]) == 0
    assert "FASTER" in capsys.readouterr().out
