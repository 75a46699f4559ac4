"""`convsmith check --kernel`: right kernels pass, every kind of wrong one is reported, and the
tool survives them all."""

from __future__ import annotations

import math
import platform
import re
import shutil
import subprocess
import time

import pytest
from compiler import needs_compiler

from convsmith import cli
from convsmith.testing.cases import cases_for
from convsmith.workbench import KernelError, build, check
from convsmith.workbench.check import check_kernel
from convsmith.workbench.supervise import MOST_LOST

RUNS = sum(len(case.fills) for case in cases_for("add"))


def line_of(folder, source, text):
    """'add.cpp:5': where the text stands."""
    lines = (folder / source).read_text().splitlines()
    (number,) = (i for i, line in enumerate(lines, start=1) if text in line)
    return f"{source}:{number}"


def test_a_right_kernel(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b")
    assert cli.main(["check", "--kernel", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"mine: add in Python ({folder}/kernel.py)\n  results")
    assert f"{RUNS} runs  ok" in out and out.endswith("\nok\n")


def test_a_wrong_result_names_op_case_element_and_both_numbers(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b; y.reshape(-1)[-1:] += 1")
    assert cli.main(["check", "--kernel", str(folder)]) == 1
    out = capsys.readouterr().out
    found = re.search(r"add on elementwise-add-1x1 \(integer\): y at \(0, 0\): got (\S+), ", out)
    assert found and f"got {found[1]}, expected {float(found[1]) - 1}\n" in out
    assert out.endswith("\nFAIL\n")


def test_an_exception(python_kernel):
    report = check_kernel(python_kernel("raise ArithmeticError('no')"))
    (stage,) = report.stages
    assert stage.runs == len(stage.failures) == RUNS  # all the same, and none ends the process
    assert "raised ArithmeticError: no" in stage.failures[0]


def test_a_write_into_an_input(python_kernel):
    report = check_kernel(python_kernel("y[...] = a + b; a += 1"))
    assert "changed an input" in report.stages[0].failures[0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os; os._exit(0)", "ended the process with exit code 0"),
        ("raise SystemExit(3)", "ended the process with exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "ended the process by SIGSEGV"),
    ],
)
def test_one_case_that_ends_the_process(python_kernel, body, why):
    folder = python_kernel(f"y[...] = a + b\n    if y.shape == (5, 16):\n        {body}")
    report = check_kernel(folder)
    (stage,) = report.stages
    assert stage.runs == RUNS and stage.not_run == 0
    assert [why in text for text in stage.failures] == [True, True]
    assert all("elementwise-add-5x16" in text for text in stage.failures)
    assert [r.share for r in report.results if not r.ok] == [math.inf, math.inf]


def test_a_kernel_that_never_ends(python_kernel):
    start = time.monotonic()
    report = check_kernel(python_kernel("while True: pass"), time_limit=0.3)
    (stage,) = report.stages
    assert stage.runs == MOST_LOST and stage.not_run == RUNS - MOST_LOST and not stage.ok
    assert "did not end within 0.3 s" in stage.failures[0]
    assert time.monotonic() - start < 60


def test_the_time_limit_is_an_option(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b\n    while y.shape == (5, 16): pass")
    assert cli.main(["check", "--kernel", str(folder), "--time-limit", "0.3"]) == 1
    assert "(integer): did not end within 0.3 s" in capsys.readouterr().out


def test_a_kernel_file_that_crashes(tmp_path):
    (tmp_path / "kernel.py").write_text("import os\nos.abort()\n")
    with pytest.raises(KernelError, match=r"loading it ended the process by SIGABRT"):
        check_kernel(tmp_path)


def test_what_the_kernel_prints_is_shown(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b; print('seen', y.shape)")
    assert cli.main(["check", "--kernel", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "printed by the kernel:\n  seen (1, 1)\n" in out


def test_no_kernel_there(tmp_path, capsys):
    assert cli.main(["check", "--kernel", str(tmp_path)]) == 1
    assert "wanted a folder with a kernel.py; convsmith new-kernel" in capsys.readouterr().err


def test_a_folder_that_cannot_name_a_kernel(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b", name="2fast")
    assert cli.main(["check", "--kernel", str(folder)]) == 1
    assert "name: got '2fast', wanted letters" in capsys.readouterr().err


@needs_compiler
def test_a_sanitizer_that_is_not_installed(new, monkeypatch, capsys):
    def missing(kernel, sanitizer):
        raise KernelError("cannot find -lasan")

    monkeypatch.setattr(build, "program", missing)
    assert cli.main(["check", "--kernel", str(new("add", "cpp"))]) == 1
    out = capsys.readouterr().out
    assert f"{RUNS} runs  ok" in out and "FAIL" in out and "      cannot find -lasan\n" in out


def test_a_kernel_that_supports_nothing(python_kernel):
    folder = python_kernel("y[...] = a + b")
    text = (folder / "kernel.py").read_text()
    text = text.replace("source=add", "source=add, supports=lambda shape: False")
    (folder / "kernel.py").write_text(text)
    report = check_kernel(folder)
    assert not report.ok and report.stages[0].runs == 0


@needs_compiler
def test_a_compile_error(new, capsys):
    folder = new("add", "cpp", "a[i] + b[i];", "a[i] + c[i];")
    assert cli.main(["check", "--kernel", str(folder)]) == 1
    assert f"{folder}/add.cpp:5:" in capsys.readouterr().err


@needs_compiler
def test_a_cpp_kernel_that_throws(new):
    folder = new("add", "cpp", "for (", 'if (size == 80) throw "a string";\n  for (')
    (stage, *_) = check_kernel(folder).stages
    assert len(stage.failures) == 2
    assert "(5, 16)" not in stage.failures[0] and "no std::exception" in stage.failures[0]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new_text", "finding"),
    [
        ("a[i] + b[i]", "a[i + 1] + b[i]", "invalid read of 4 bytes: 0 bytes past the end of 'a'"),
        ("a[i] + b[i]", "a[i] + *(float*)(i + 64)", "SEGV, a read"),
        ("y[i] = a[i] + b[i]", "y[i - 1] = a[i] + b[i]", "4 bytes before 'y'"),
        ("a[i] + b[i]", "a[i] + b[i] + (1 << (size + 40))", "shift exponent"),
    ],
)
def test_bad_accesses_of_a_cpp_kernel(new, old, new_text, finding):
    folder = new("add", "cpp", f"{old};", f"{new_text};")
    found = check_kernel(folder).stages[-1]
    assert found.title == "addresses"
    where = line_of(folder, "add.cpp", new_text)
    assert any(text.startswith(where) and finding in text for text in found.failures)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new_text", "stage", "place", "finding"),
    [
        (
            "    sync_block();  // the squares are complete\n",
            "",
            "races",
            "a_tile[i * kTile + j] = from_a",
            "race: a write here and a read at gemm.cu:",
        ),
        (
            "    sync_block();  // nobody reads them any more\n",
            "",
            "races",
            "a_tile[i * kTile + j] = from_a",
            "race: a write here and a read at gemm.cu:",
        ),
        (
            "row < shape.gemm_m && first + j <",
            "row <= shape.gemm_m && first + j <",
            "addresses",
            "from_a = shape.transpose_a",
            "past the end of 'a'",
        ),
        (
            "b_tile[i * kTile + j] = from_b",
            "b_tile[i * kTile + j + 1] = from_b",
            "addresses",
            "b_tile[i * kTile + j + 1] = from_b",
            "of the shared array 'b_tile'",
        ),
        (
            "    sync_block();  // the squares are complete",
            "    if (i < 3) sync_block();",
            "results",
            "if (i < 3) sync_block()",
            "divergent barrier",
        ),
    ],
)
def test_planted_faults_of_a_cuda_kernel(new, old, new_text, stage, place, finding):
    folder = new("gemm", "cuda", old, new_text)
    report = check_kernel(folder)
    (found,) = (made for made in report.stages if made.title == stage)
    where = line_of(folder, "gemm.cu", place)
    assert any(where in text and finding in text for text in found.failures), found.failures
    assert not report.ok


@needs_compiler
@pytest.mark.slow
def test_a_cuda_kernel_that_never_ends(new):
    folder = new("add", "cuda", "if (i < size)", "while (size == 80);\n  if (i < size)")
    (stage, *_) = check_kernel(folder, time_limit=1.0).stages
    assert [("5x16" in text, "did not end within 1 s" in text) for text in stage.failures] == [
        (True, True)
    ] * 2


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("language", ["cpp", "cuda"])
def test_a_kernel_that_prints_without_ending_the_line(new, language):
    folder = new("add", language)
    source = folder / ("add.cpp" if language == "cpp" else "add.cu")
    text = source.read_text()
    at = text.index("{", text.index("void add(")) + 1
    source.write_text(f'#include <cstdio>\n{text[:at]}\n  std::printf("seen");{text[at:]}')
    report = check_kernel(folder, time_limit=5.0)
    assert report.ok, [stage.failures for stage in report.stages]
    assert "seen" in report.printed


def test_a_race_checker_that_wants_a_fixed_layout_of_memory(tmp_path):
    program = tmp_path / "program"
    # As the race checker does: no start where the layout is randomised.
    program.write_text(
        "#!/bin/sh\n"
        "case $(cat /proc/self/personality) in *4????) exit 0 ;; esac\n"
        "echo FATAL: unexpected memory mapping >&2; exit 66\n"
    )
    program.chmod(0o755)
    fixed = ["setarch", platform.machine(), "-R", "true"]
    if shutil.which("setarch") and subprocess.run(fixed, capture_output=True).returncode == 0:
        assert check._startable(program) == [*fixed[:-1], str(program)]
    program.write_text("#!/bin/sh\necho FATAL: unexpected memory mapping >&2; exit 66\n")
    with pytest.raises(KernelError, match=r"unexpected memory mapping; .*vm.mmap_rnd_bits=28"):
        check._startable(program)
