"""Programs built from the executor and test kernels with the host compiler, kept between runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / "scripts" / "build_simt_program.sh"

SOURCES = {
    "fault_matrix": [*sorted(HERE.glob("fault_matrix/*.cu")), HERE / "fault_matrix" / "main.cpp"],
    "probe": [HERE / "probe" / "probe.cu"],
    "races": [*sorted((ROOT / "csrc" / "cuda").glob("*.cu")), HERE / "races" / "main.cpp"],
}


def state(sources: list[Path]) -> str:
    """A digest of everything that the program is made of."""
    digest = hashlib.sha256()
    headers = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cuh")]
    beside = [path for source in sources for path in source.parent.glob("*.h")]
    executor = list((ROOT / "csrc" / "simt").glob("*.cpp"))
    for path in sorted({BUILD, *sources, *headers, *beside, *executor}):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def run(path: Path, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess:
    """Run a program; its output is bytes."""
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0",
        "TSAN_OPTIONS": "exitcode=66 report_bugs=1",
    }
    return subprocess.run(
        [str(path), *arguments], input=data, capture_output=True, env=environment, timeout=600
    )
