"""`convsmith bench --kernel`: beside ours, and in a process that it may take down."""

from __future__ import annotations

from pathlib import Path

import pytest

from convsmith import cli

KERNEL = """
import os, signal
from convsmith.workbench import Kernel

def add(a, b, y):
    {body}

kernel = Kernel(op="add", source=add)
"""


def bench(folder: Path, body: str, *more: str) -> int:
    own = folder / "mine"
    own.mkdir()
    (own / "kernel.py").write_text(KERNEL.format(body=body))
    words = ("--network", "resnet18", "--batch", "1", "--repeats", "1", "--layer", "layer4")
    return cli.main(["bench", "--kernel", str(own), *words, *more])


def test_a_kernel_is_timed_beside_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path, "y[...] = a + b") == 0
    rows = [line for line in capfd.readouterr().out.splitlines() if " add " in line]
    assert any("native_cpu" in row for row in rows) and any(" mine " in row for row in rows)


def test_a_wrong_kernel_is_not_timed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path, "y[...] = a - b") == 1
    assert "differs from the reference" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("while True: pass", "did not end within 12 s"),
    ],
)
def test_a_kernel_takes_only_its_own_process_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    assert bench(tmp_path, body, "--time-limit", "12") == 1
    error = capfd.readouterr().err
    assert message in error and "convsmith check --kernel" in error


def test_what_cannot_be_timed_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--kernel", str(tmp_path / "none")]) == 2
    assert "wanted a folder with a kernel.py" in capfd.readouterr().err
    cuda = tmp_path / "cuda"
    assert cli.main(["new-kernel", "add", "--language", "cuda", str(cuda)]) == 0
    assert cli.main(["bench", "--kernel", str(cuda)]) == 2
    assert "a CUDA kernel, and no GPU to time it on" in capfd.readouterr().err
