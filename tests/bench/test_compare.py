"""A planted slowdown is flagged, an unchanged build is not, on a quiet and on a busy machine."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convsmith.bench import compare, record

ROWS, REPEATS = 40, 7
PLANTED = 17


def samples(rng: np.random.Generator, ms: float, load: float, noise: float) -> dict[str, Any]:
    """Calls of a kernel that takes `ms` alone. load: the share of the processor that others take.

    On a busy machine nearly every call waits, sometimes for long, and costs a little more
    processor time, since the others empty its caches.
    """
    cpu = (
        ms
        * np.exp(noise * rng.standard_normal(REPEATS))
        * (1 + load * rng.exponential(0.05, REPEATS))
    )
    waits = rng.random(REPEATS) < (0.9 if load else 0.02)
    waited = waits * cpu * rng.exponential(1.5, REPEATS)
    wall = (cpu + waited).tolist()
    switches = waits.astype(int).tolist()
    return {
        "ms": wall,
        "cpu_ms": cpu.tolist(),
        "waited_ms": waited.tolist(),
        "switches": switches,
    }


def made(
    seed: int,
    *,
    load: float = 0.0,
    noise: float = 0.02,
    speed: float = 1.0,
    slower: float = 1.0,
    everything: float = 1.0,
) -> record.Record:
    """A run. speed: of the machine as a whole; slower: factor on one row; everything: on all."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(ROWS):
        ms = 0.3 * 1.1**number * everything / speed
        # From one process to another, each kernel's memory lies elsewhere.
        ms *= float(np.exp(0.01 * rng.standard_normal()))
        ms *= slower if number == PLANTED else 1.0
        share = number / ROWS  # of the time that is memory's
        alone = 0.3 * 1.1**number
        rows.append(
            {
                "op": "conv2d_forward",
                "geometry": f"shape {number}",
                "uses": [{"network": "net", "layer": f"layer{number}", "count": 1}],
                "batch": 8,
                "dtype": "float32",
                "threads": 1,
                "flop": alone * (1 - share) * 1e8,
                "bytes": alone * share * 1e7,
                "limit_ms": alone / 2,
                "bound": "compute",
                "contenders": {
                    "native_cpu": {
                        "peer": None,
                        "error": "",
                        "samples": samples(rng, ms, load, noise),
                    }
                },
                "yardstick": {
                    "flop": 2e8,
                    "bytes": 2e7,
                    "multiply_add": samples(rng, 2 / speed, load, noise),
                    "copy": samples(rng, 2 / speed, load, noise),
                },
            }
        )
    machine = {"cpu": "a processor", "commit": "abc", "date": "2026-01-01"}
    machine["caches"] = {"L2": 1 << 21}
    head = {"schema": record.SCHEMA, "complete": True, "machine": machine, "settings": {}}
    return {**head, "limits": {"gb_per_s": {"1": 20.0}}, "rows": rows}


BUSY = {"load": 0.6, "noise": 0.03}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("old", [{}, BUSY], ids=["quiet", "busy"])
@pytest.mark.parametrize("new", [{}, BUSY], ids=["quiet", "busy"])
def test_an_unchanged_build_is_never_flagged(
    seed: int, old: dict[str, Any], new: dict[str, Any]
) -> None:
    found = compare.compare(made(seed, **old), made(seed + 100, **new))
    assert len(found.changes) == ROWS
    assert not found.slower and not found.faster, [c.ratio for c in found.slower + found.faster]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("state", [{}, BUSY], ids=["quiet", "busy"])
def test_a_slowdown_of_a_quarter_is_flagged(seed: int, state: dict[str, Any]) -> None:
    old, new = made(seed, **state), made(seed + 100, slower=1.25, **state)
    (change,) = compare.compare(old, new).slower
    assert record.title(change.row) == f"net layer{PLANTED}" and 1.15 < change.ratio < 1.4
    (back,) = compare.compare(new, old).faster
    assert record.title(back.row) == f"net layer{PLANTED}" and back.ratio < 1


def test_a_slower_machine_is_divided_out_but_slower_kernels_are_not() -> None:
    old = made(1)
    throttled = compare.compare(old, made(2, speed=0.6))
    assert not throttled.slower and not throttled.faster
    worse = compare.compare(old, made(3, everything=1.3))
    assert len(worse.slower) == ROWS


def test_the_clock_is_the_walls_unless_the_machine_was_busy() -> None:
    quiet = compare.compare(made(1), made(2))
    assert {change.clock for change in quiet.changes} == {"wall"}
    busy = compare.compare(made(1), made(2, **BUSY))
    assert "processor" in {change.clock for change in busy.changes}


def test_lost_parallelism_is_seen_on_a_busy_machine() -> None:
    old, new = made(1, **BUSY), made(2, **BUSY)
    for both, wall in ((old, 1.0), (new, 2.0)):
        row = both["rows"][PLANTED]
        row["threads"] = 2
        row["contenders"]["native_cpu"]["samples"] = {
            "ms": [wall + 3] * REPEATS,
            "cpu_ms": [2.0] * REPEATS,
            "waited_ms": [3.0] * REPEATS,
            "switches": [0] * REPEATS,
        }
        for stick in ("multiply_add", "copy"):  # as fast in both
            row["yardstick"][stick] = old["rows"][PLANTED]["yardstick"][stick]
    (change,) = compare.compare(old, new).slower
    assert change.clock == "processor" and change.ratio == pytest.approx(2)


def test_rows_without_yardsticks_and_errors() -> None:
    old, new = made(1), made(2)
    for row in old["rows"] + new["rows"]:
        row["yardstick"] = None
    new["rows"][0]["contenders"]["native_cpu"] = {"peer": None, "error": "wrong", "samples": None}
    new["rows"][1]["contenders"]["torch"] = copy.deepcopy(
        new["rows"][1]["contenders"]["native_cpu"]
    )
    new["rows"][1]["contenders"]["torch"]["peer"] = "torch"
    found = compare.compare(old, new)
    assert len(found.changes) == ROWS - 1 and found.unmatched == (1, 0)
    text = "\n".join(compare.lines(old, new, found))
    assert "39 compared, 0 slower, 0 faster" in text


def test_yardsticks_of_one_record_alone_are_not_used() -> None:
    old, new = made(1), made(2)
    for row in new["rows"]:
        row["yardstick"] = None
    found = compare.compare(old, new)
    assert not found.slower and not found.faster
    assert all(0.8 < change.ratio < 1.25 for change in found.changes)


def test_nothing_in_common_is_an_error() -> None:
    new = made(2)
    for row in new["rows"]:
        row["threads"] = 64
    with pytest.raises(ValueError, match="without a common row"):
        compare.compare(made(1), new)


@pytest.mark.slow
def test_real_runs(tmp_path: Path) -> None:
    """Six runs of one build and one with a kernel that takes a quarter longer, each a process."""
    script = Path(__file__).with_name("planted_run.py")

    def run(name: str, *planted: str) -> record.Record:
        out = tmp_path / name
        subprocess.run([sys.executable, str(script), str(out), *planted], check=True)
        return record.read(out)

    first = run("0.json")
    for number in range(1, 6):
        found = compare.compare(first, run(f"{number}.json"))
        assert not found.slower and not found.faster, list(compare.lines(first, first, found))
    layer, op = "layer3.0.conv2", "conv2d_backward_input"
    (row,) = (r for r in first["rows"] if r["op"] == op and r["uses"][0]["layer"] == layer)
    ms = 0.25 * float(np.percentile(row["contenders"]["native_cpu"]["samples"]["cpu_ms"], 25))
    found = compare.compare(first, run("planted.json", layer, op, str(ms)))
    assert [record.title(change.row) for change in found.slower] == [f"resnet18 {layer}"]
