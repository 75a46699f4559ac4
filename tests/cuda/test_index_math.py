"""The index arithmetic of the GEMM kernels, exhaustively, in a program of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_index_math(tmp_path: Path) -> None:
    program = tmp_path / "index_math"
    script = ROOT / "scripts" / "build_simt_program.sh"
    source = ROOT / "tests" / "cuda" / "index_math.cu"
    subprocess.run([script, program, "plain", source], check=True)
    done: Any = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "0\n", done.stdout
