"""Every kernel under the race checker and the address sanitizer (scripts/simt_races.py)."""

from __future__ import annotations

import sys

import pytest
from simt_program import ROOT, run

sys.path.insert(0, str(ROOT / "scripts"))
from simt_races import FAMILIES, findings


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["tsan", "asan"])
def test_kernels_have_no_races_and_stay_inside_their_arrays(program, mode, family):
    done = run(program("races", mode), family)
    found = findings(done.stderr.decode(errors="replace"))
    assert (found, done.returncode) == ([], 0), done.stdout


def test_a_race_is_told_by_its_two_lines():
    text = """\
==================
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 8 at 0x7f by main thread:
    #0 convsmith::simt::race_write(void*, unsigned long) /r/csrc/simt/sanitizers.h:70 (a+0x1)
    #1 pipeline_kernel /r/tests/simt/fault_matrix/copies.cu:37 (a+0x2)

  Previous read of size 4 at 0x7f by main thread:
    #0 pipeline_kernel /r/tests/simt/fault_matrix/copies.cu:50 (a+0x3)

SUMMARY: ThreadSanitizer: data race /r/csrc/simt/sanitizers.h:70 in race_write
"""
    assert findings(text) == ["race: write at copies.cu:37, read at copies.cu:50"]
    assert findings("all is well") == []


@pytest.mark.slow
def test_the_report_of_a_planted_race_names_both_lines(program):
    done = run(program("fault_matrix", "tsan"), "run", "live_stage_refilled", "bad", "skew", "0")
    assert any(
        finding.startswith("race: ") and finding.count("copies.cu:") == 2
        for finding in findings(done.stderr.decode())
    )
