"""The GEMM engines under the race checker and the sanitizers, in programs of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "tests/cuda/gemm_races.cu", ROOT / "csrc/cuda/gemm_reduce.cu")


@pytest.mark.parametrize("mode", ("tsan", "asan"))
def test_no_race_and_no_fault(mode: str, tmp_path: Path) -> None:
    program = tmp_path / "gemm_races"
    script = ROOT / "scripts" / "build_simt_program.sh"
    subprocess.run([script, program, mode, *SOURCES], check=True)
    done: Any = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "0\n", done.stdout + done.stderr[-3000:]
