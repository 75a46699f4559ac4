"""Every rung of the ladders computes what it should, at sizes with odd tails."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("convsmith._cpu")

ROOT = Path(__file__).resolve().parents[2]
LADDER = ROOT / "benchmarks" / "ladder"
sys.path.insert(0, str(LADDER))

import ladder  # noqa: E402
import tables  # noqa: E402

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no compiler on the PATH"
)

SIZES = {
    "gemm": [(1, 1, 1), (6, 64, 512), (5, 67, 3), (200, 131, 37), (13, 129, 1029)],
    "conv2d": [(1, 5, 3, 7, 3, 1, 1), (2, 9, 17, 70, 3, 2, 1), (1, 7, 16, 65, 1, 1, 0)],
}
CASES = [(name, rung) for name in ladder.LADDERS for rung in [*ladder.rungs(name), ladder.SHIPPED]]


@pytest.fixture(scope="module")
def library(request):
    return ladder.build(cache=Path(request.config.cache.mkdir("ladder")))


@needs_compiler
@pytest.mark.parametrize(("name", "rung"), CASES)
def test_cpu_rung(name, rung, library):
    for size in SIZES[name]:
        problem = ladder.Problem(name, size, library)
        assert problem.error(rung, problem.reference()) < ladder.TOLERANCE, size


@needs_compiler
def test_a_wrong_rung_is_refused(library, monkeypatch):
    problem = ladder.Problem("gemm", (7, 7, 7), library)
    monkeypatch.setattr(problem, "reference", lambda: np.ones((7, 7), np.float32))
    with pytest.raises(ValueError, match="gemm 01_naive"):
        ladder.climb(problem)


@needs_compiler
def test_run_reports_every_rung(library, monkeypatch):
    monkeypatch.setattr(ladder, "build", lambda: library)
    lines: list[str] = []
    records = ladder.run("gemm", [(64, 64, 64)], lines.append)
    assert [record["rung"] for record in records] == [*ladder.rungs("gemm"), ladder.SHIPPED]
    assert len(lines) == len(records) and records[0]["gain"] is None
    assert all(record["gflops"] > 0 for record in records)
    with pytest.raises(ValueError, match="'pool'"):
        ladder.run("pool")


def test_rungs_are_numbered_from_one():
    for folder in [LADDER / name / kind for name in ladder.LADDERS for kind in ("cpu", "cuda")]:
        names = sorted(path.stem for path in folder.glob("[0-9]*"))
        assert [int(name[:2]) for name in names] == list(range(1, len(names) + 1)), folder


@needs_compiler
def test_cuda_rungs_under_simt(request):
    script = ROOT / "scripts" / "build_simt_program.sh"
    sources = [*sorted(LADDER.glob("*/cuda/*.cu")), LADDER / "check_cuda.cpp"]
    digest = hashlib.sha256()
    others = [*LADDER.glob("*/cuda/*h"), *(ROOT / "csrc" / "simt").iterdir()]
    others += [script, *(ROOT / "csrc").glob("*.h"), *(ROOT / "csrc" / "cuda").glob("*h")]
    for path in [*sources, *sorted(path for path in others if path.is_file())]:
        digest.update(path.read_bytes())
    folder = Path(request.config.cache.mkdir("ladder"))
    program = folder / f"cuda-{digest.hexdigest()[:16]}"
    if not program.exists():
        subprocess.run([str(script), str(program), "plain", *map(str, sources)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ran = set()
    for line in done.stdout.splitlines():
        name, rung, _, error = line.split()
        assert float(error) < ladder.TOLERANCE, line
        ran.add((name, rung))
    wanted = {
        (name, path.stem)
        for name in ladder.LADDERS
        for path in (LADDER / name / "cuda").glob("*.cu")
    }
    assert ran == wanted


@pytest.mark.parametrize("name", ladder.LADDERS)
def test_the_tables_are_those_of_the_record(name):
    readme = (LADDER / name / "README.md").read_text()
    result = json.loads(tables.RECORD.read_text())
    assert tables.insert(readme, tables.table(result, name)) == readme
    for kind in ("cpu", "cuda"):
        for path in (LADDER / name / kind).glob("[0-9]*"):
            assert path.stem in readme
