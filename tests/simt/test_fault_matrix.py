"""Every planted fault is seen by the detectors that its case names, and only the fault is."""

from __future__ import annotations

from collections import defaultdict

import pytest
from simt_program import run


def _cases(path):
    """name -> (detectors, text)."""
    lines = run(path, "list").stdout.decode().splitlines()
    return {
        name: (detectors.split(), text)
        for name, detectors, text in (line.split("\t") for line in lines)
    }


@pytest.fixture(scope="module")
def outcomes(program):
    """(name, good or bad) -> outcomes over policies and seeds."""
    found = defaultdict(list)
    done = run(program("fault_matrix"), "all")
    assert done.returncode == 0, done.stderr
    for line in done.stdout.decode().splitlines():
        name, form, _, _, outcome = line.split("\t")
        found[name, form].append(outcome)
    return found


@pytest.fixture(scope="module")
def cases(program):
    return _cases(program("fault_matrix"))


def test_there_are_enough_faults(cases):
    assert len(cases) >= 60
    named = {detector for detectors, _ in cases.values() for detector in detectors}
    assert named == {"error", "result", "asan", "ubsan", "tsan"}


def test_the_right_kernels_pass_under_every_schedule(cases, outcomes):
    wrong = {name: set(outcomes[name, "good"]) - {"ok"} for name in cases}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_misuse_is_an_error_under_every_schedule(cases, outcomes):
    missed = [
        (name, outcome)
        for name, (detectors, text) in cases.items()
        if "error" in detectors
        for outcome in outcomes[name, "bad"]
        if not outcome.startswith("error: simt: ") or text not in outcome
    ]
    assert missed == []


def test_every_silent_fault_gives_a_wrong_result_under_some_schedule(cases, outcomes):
    missed = [
        name
        for name, (detectors, _) in cases.items()
        if "result" in detectors
        and not any(outcome.startswith("result: ") for outcome in outcomes[name, "bad"])
    ]
    assert missed == []


def test_some_races_need_another_schedule_than_the_first(cases, outcomes):
    # If none did, permuting the schedule would be for nothing.
    sometimes = [
        name
        for name in cases
        if any(o.startswith("result: ") for o in outcomes[name, "bad"])
        and "ok" in outcomes[name, "bad"]
    ]
    assert "flag_without_barrier" in sometimes
    assert "blocks_write_one_place" in sometimes


# What the programs under a sanitizer say when they stop.
_REPORTS = {
    "asan": b"AddressSanitizer",
    "ubsan": b"runtime error",
    "tsan": b"ThreadSanitizer: data race",
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["asan", "tsan"])
def test_sanitizers(program, cases, mode):
    path = program("fault_matrix", mode)
    mine = ("asan", "ubsan") if mode == "asan" else ("tsan",)
    missed, false_alarms = [], []
    for name, (detectors, _) in cases.items():
        good = run(path, "run", name, "good", "round_robin", "0")
        if good.returncode != 0 or b"\tok" not in good.stdout:
            false_alarms.append((name, good.stdout, good.stderr[-2000:]))
        for detector in set(mine) & set(detectors):
            bad = run(path, "run", name, "bad", "round_robin", "0")
            if bad.returncode == 0 or _REPORTS[detector] not in bad.stderr:
                missed.append((name, detector))
    assert false_alarms == []
    assert missed == []
