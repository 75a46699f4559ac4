"""The GPU report without a GPU: its arguments, its survival of bad workers, its Markdown."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu_report  # noqa: E402
from gpu import plan, render, worker  # noqa: E402
from gpu.pieces import Piece, run_piece  # noqa: E402

# A worker that does what the names of its items say.
WORKER = """
import json, os, sys, time
def say(item, state, **rest): print(json.dumps({"item": item, "state": state, **rest}), flush=True)
for item in sys.argv[2:]:
    say(item, "begin")
    print("a library says something, even {\\"json\\": 1}", flush=True)
    if item == "dies": os._exit(7)
    if item == "hangs": time.sleep(60)
    if item == "accused": print("========= Invalid __global__ write of size 4 bytes", flush=True)
    if item == "sticky":
        say(item, "failed", error="CUDA error: an illegal memory access")
        sys.exit(1)
    say(item, "ok", ms=1.5)
if "leaks" in sys.argv: sys.exit(86)
"""


def start(piece, items):
    if piece == "missing":
        raise FileNotFoundError("compute-sanitizer")
    code = "import sys; sys.exit('no CuPy')" if piece == "broken" else WORKER
    return subprocess.Popen(
        [sys.executable, "-c", code, piece, *items],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def run(*items, name="piece", limit_s=30.0, **options):
    piece = Piece(name, "A piece", items, limit_s, **options)
    return run_piece(piece, start, time.monotonic() + 60)


def states(outcome):
    return {name: found["state"] for name, found in outcome.items.items()}


def test_one_bad_item_hides_no_other():
    outcome = run("a", "dies", "b", "sticky", "c")
    assert states(outcome) == {
        "a": "ok",
        "dies": "failed",
        "b": "ok",
        "sticky": "failed",
        "c": "ok",
    }
    assert outcome.items["dies"]["error"] == "its process died with exit code 7"
    assert outcome.items["a"]["ms"] == 1.5
    assert outcome.failed == ["dies", "sticky"]


def test_a_kernel_that_hangs_is_ended():
    outcome = run("a", "hangs", "b", item_limit_s=0.7)
    assert states(outcome) == {"a": "ok", "hangs": "failed", "b": "ok"}
    assert "it hangs" in outcome.items["hangs"]["error"]


def test_what_there_is_no_time_for_is_named():
    outcome = run("a", "hangs", "b", "c", limit_s=1.0)
    assert states(outcome) == {"a": "ok", "hangs": "failed", "b": "skipped", "c": "skipped"}


def test_a_worker_that_cannot_start():
    assert states(run("a", "b", name="broken")) == {"a": "failed", "b": "failed"}


def test_a_sanitizer_accuses_the_item_under_way():
    outcome = run("a", "accused", "b", findings=plan.FINDINGS)
    assert states(outcome) == {"a": "ok", "accused": "failed", "b": "ok"}
    assert "1 findings: ========= Invalid __global__ write" in outcome.items["accused"]["error"]


def test_a_bad_exit_code_alone_is_a_failure():
    assert states(run("a", "leaks")) == {"a": "ok", "leaks": "ok", "end": "failed"}


def test_a_missing_tool_is_an_error_and_the_rest_goes_on(tmp_path, capsys):
    pieces = [Piece("missing", "Sanitizer", ("a",)), Piece("fine", "Fine", ("a",))]
    record = {"machine": {"GPU": "a GPU"}}
    deadline = time.monotonic() + 30
    assert not gpu_report.run_all(pieces, start, record, tmp_path, deadline)
    written = json.loads((tmp_path / "report.json").read_text())["pieces"]
    assert "compute-sanitizer" in written["missing"]["items"]["start"]["error"]
    assert written["fine"]["items"]["a"]["state"] == "ok"
    text = (tmp_path / "report.md").read_text()
    assert "missing: start: failed: FileNotFoundError" in text
    assert "FAILED" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu_report, "gpu_lines", lambda: [])
    assert gpu_report.main(["--out", str(tmp_path / "out")]) == 2
    assert "there is no GPU here" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_arguments(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        gpu_report.main([])
    monkeypatch.setattr(gpu_report, "gpu_lines", lambda: ["NVIDIA H200, 9.0, 143771 MiB, 580"])
    ran = []

    def run_all(pieces, *_):
        ran.extend(piece.name for piece in pieces)
        return True

    monkeypatch.setattr(gpu_report, "run_all", run_all)
    out = str(tmp_path / "out")
    assert gpu_report.main(["--out", out, "--no-build", "--only", "sanitized", "gemm"]) == 0
    assert ran == [*(f"sanitized:{tool}" for tool in plan.SANITIZERS), "gemm"]
    assert gpu_report.main(["--out", out, "--no-build", "--only", "nothing"]) == 1
    assert "wanted some of copy, correctness" in capsys.readouterr().out


def test_a_build_that_fails_ends_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_report, "gpu_lines", lambda: ["NVIDIA A100, 8.0, 40960 MiB, 580"])
    archs = []

    def build(arch, log):
        archs.append(arch)
        return {"state": "failed", "error": "nvcc fatal"}

    monkeypatch.setattr(gpu_report, "build", build)
    assert gpu_report.main(["--out", str(tmp_path)]) == 1
    assert archs == ["80"]
    assert "The build failed: nvcc fatal" in (tmp_path / "report.md").read_text()


def test_hopper_is_built_with_its_own_instructions():
    assert gpu_report.architecture("NVIDIA H200, 9.0, 143771 MiB, 580") == "90a"
    assert gpu_report.architecture("NVIDIA GeForce RTX 3090, 8.6, 24576 MiB, 580") == "86"


def test_workers_run_under_the_tool_of_their_piece():
    plain = gpu_report.worker_command("ops", ["add float32"])
    assert plain[1:] == ["-m", "gpu.worker", "ops", "add float32"]
    tool = gpu_report.worker_command("sanitized:racecheck", ["add"])
    assert tool[0].endswith("compute-sanitizer") and "--tool=racecheck" in tool
    assert tool[-4:] == ["-m", "gpu.worker", "sanitized", "add"]


def test_every_piece_has_a_worker():
    for piece in plan.pieces():
        assert piece.items and piece.name.partition(":")[0] in worker.PIECES
    total_s = sum(piece.limit_s for piece in plan.pieces() if piece.name != "sweep")
    assert total_s < 1000  # the deadline of the whole cuts it to ten minutes


def test_the_worker_says_what_an_item_raises(capsys):
    def function(item):
        if item == "bad":
            raise ValueError("x is y")
        if item == "gone":
            raise RuntimeError("CUDA error: unspecified launch failure")
        return {"ok": item != "wrong", "ms": 2.0}

    assert worker.work(function, ["good", "bad", "wrong", "gone", "never"]) == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ended = {line["item"]: line["state"] for line in said}
    assert ended == {"good": "ok", "bad": "failed", "wrong": "failed", "gone": "failed"}
    assert {"item": "good", "state": "ok", "ms": 2.0} in said


def test_a_piece_whose_library_is_missing_says_which(monkeypatch, capsys):
    monkeypatch.setitem(worker.PIECES, "copy", "no_such_library:function")
    assert worker.main(["copy", "a", "b"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["item"] for line in said] == ["a", "b"]
    assert "No module named 'no_such_library'" in said[0]["error"]


RECORD = {
    "machine": {"GPU": "NVIDIA H200", "commit": "abc"},
    "build": {"state": "ok"},
    "pieces": {
        "copy": {
            "title": "Copy bandwidth",
            "seconds": 1.0,
            "items": {"1024 MiB": {"state": "ok", "ms": 0.5, "gb_per_s": 4000.0}},
        },
        "ops": {
            "title": "Each op",
            "seconds": 9.0,
            "items": {
                "add float32": {"state": "ok", "ms": 0.15, "gb_per_s": 3600.0},
                "gemm float32": {"state": "failed", "error": "ValueError: a | b\nmore"},
            },
        },
        "layers": {
            "title": "Layers",
            "seconds": 9.0,
            "items": {
                f"conv{i} conv2d_forward float32": {
                    "state": "ok",
                    "ms": {"convsmith": 2.0, "cudnn": ratio * 2.0},
                    "ratio": ratio,
                    "tflop_per_s": 40.0,
                    "distance": 1e-6,
                }
                for i, ratio in enumerate((0.5, 2.0))
            },
        },
        "sweep": {
            "title": "Tile sweep",
            "seconds": 9.0,
            "items": {
                "conv1 conv2d_forward float32": {
                    "state": "ok",
                    "ms": {"auto": 2.0, "tile 1, 2 splits": 1.6},
                    "best": "tile 1, 2 splits",
                    "auto_over_best": 1.25,
                },
                "late": {"state": "skipped", "error": "no time was left"},
            },
        },
    },
}


def test_the_record_as_markdown():
    text = render.markdown(RECORD)
    assert "- GPU: NVIDIA H200" in text
    assert "2 items failed or did not run" in text
    assert "- ops: gemm float32: failed: ValueError: a \\| b more" in text
    assert "- sweep: late: skipped: no time was left" in text
    assert "| add float32 | 0.15 | 3600 | 0.9 | - |" in text
    assert "- conv2d_forward float32: 1.00 over 2" in text
    assert "| conv1 conv2d_forward float32 | 2 | tile 1, 2 splits | 1.6 | 1.25 |" in text


def test_a_record_with_nothing_in_it():
    assert "Nothing ran." in render.markdown({})
    empty = {"pieces": {"layers": {"title": "L", "seconds": 0.0, "items": {}}}}
    assert "nothing to run" in render.markdown(empty)
