"""Faults planted in the kernels themselves: scripts/simt_mutants.py, which takes them all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ml_dtypes")
pytest.importorskip("convsmith._simt")

from mutants import DETECTORS, MUTANTS, parse

ROOT = Path(__file__).resolve().parents[2]
# One of each kind, each from another family of kernels.
SOME = (
    "direct_no_barrier_next_tile:result",
    "rows_guard_off_by_one:error",
    "tensor_wait_of_a_stage_too_weak:result",
    "first_layer_no_barrier_before_filters:result",
    "depthwise_idle_threads_skip_the_barrier:error",
    "column_tree_no_barrier_inside:result",
    "softmax_lanes_without_a_row_leave:error",
    "shared_window_one_row_too_many:result",
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_kernels_still_have_the_lines_to_break(mutant):
    text = (ROOT / "csrc" / "cuda" / mutant.file).read_text()
    assert mutant.applied(text) != text


def test_there_are_enough_mutants():
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS) >= 100
    assert {mutant.detector for mutant in MUTANTS} == set(DETECTORS)
    assert len({mutant.file for mutant in MUTANTS}) >= 20
    assert set(SOME) <= {str(mutant) for mutant in MUTANTS}


def test_paragraphs():
    text = "file a.cuh\ncompile b.cu c.cu\nops add\n\none: result, error\n x\n-y\n+z\n"
    first, second = parse(text)
    assert (first.old, first.new, first.compile) == ("x\ny", "x\nz", ("b.cu", "c.cu"))
    assert str(second) == "one:error"
    assert first.applied("w\nx\ny\n") == "w\nx\nz\n"
    with pytest.raises(ValueError, match=r"one:result: a\.cuh has this 2 times"):
        first.applied("x\ny\nx\ny")
    with pytest.raises(ValueError, match="one: got 'luck', wanted one of result, error, race"):
        list(parse(text.replace("result", "luck")))


@pytest.mark.slow
def test_some_mutants_are_seen(request):
    pytest.importorskip("pybind11")
    if shutil.which("g++") is None:
        pytest.skip("no compiler: g++ is not on the PATH")
    folder = request.config.cache.mkdir("simt-mutants")
    script = str(ROOT / "scripts" / "simt_mutants.py")
    command = [sys.executable, script, "--keep", str(folder), *SOME]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
