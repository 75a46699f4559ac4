"""The record: complete, versioned, refused where it is something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convsmith.bench import record, table
from convsmith.bench.session import Plan, Session
from convsmith.bench.works import works


@pytest.fixture
def made() -> record.Record:
    chosen = [work for work in works(["resnet18"], [2]) if work.op in ("add", "conv2d_forward")]
    session = Session(Plan(chosen, ["native_cpu"], threads=(1,), repeats=2))
    session.measure_limits()
    for _ in session.run():
        pass
    return session.record()


def test_it_says_what_it_must(made: record.Record, tmp_path: Path) -> None:
    record.write(made, tmp_path / "folder" / "r.json")
    found = record.read(tmp_path / "folder" / "r.json")
    assert found["schema"] == record.SCHEMA and found["complete"] is True
    machine = {"date", "commit", "cpu", "isa", "cores", "caches", "governor", "gpus", "python"}
    assert machine <= set(found["machine"])
    assert {"backends", "against", "threads", "repeats", "order"} <= set(found["settings"])
    assert found["limits"]["gflops"][found["machine"]["isa"]]["1"] > 0
    assert found["limits"]["gb_per_s"]["1"] > 0
    row = next(row for row in found["rows"] if row["op"] == "conv2d_forward")
    assert row["flop"] > 0 and row["bytes"] > 0 and row["limit_ms"] > 0
    assert row["bound"] in ("compute", "memory")
    samples = row["contenders"]["native_cpu"]["samples"]
    assert len(samples["ms"]) == len(samples["cpu_ms"]) == len(samples["waited_ms"]) >= 2
    rounds = len(samples["ms"])
    assert len(row["yardstick"]["copy"]["ms"]) == rounds
    assert len(row["yardstick"]["multiply_add"]["ms"]) == rounds
    text = [table.text(line, []) for row in found["rows"] for line in table.lines_of(row)]
    assert len(text) == len(found["rows"])


def test_a_row_is_a_line(made: record.Record) -> None:
    text = record.dump(made)
    assert sum('"op": "' in line for line in text.splitlines()) == len(made["rows"])
    assert json.loads(text)["rows"][0]["op"] == made["rows"][0]["op"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "got no JSON"),
        ("[]", "got no key 'schema'"),
        ("{}", "got no key 'schema'"),
        (json.dumps(dict.fromkeys(record._KEYS, 0)), "schema: got 0, wanted 1"),
    ],
)
def test_other_files_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        record.read(path)


@pytest.mark.parametrize("key", ["flop", "bound", "contenders", "yardstick"])
def test_a_row_without_its_keys_is_refused(made: record.Record, tmp_path: Path, key: str) -> None:
    del made["rows"][0][key]
    record.write(made, tmp_path / "r.json")
    with pytest.raises(ValueError, match="got a row without one of"):
        record.read(tmp_path / "r.json")


def row(ours: float, theirs: float, count: int, network: str = "net") -> dict[str, Any]:
    def entry(ms: float, peer: str | None) -> dict[str, Any]:
        samples = {"ms": [ms] * 3, "cpu_ms": [ms] * 3, "waited_ms": [0.0] * 3, "switches": [0] * 3}
        return {"peer": peer, "error": "", "samples": samples}

    slower = entry(theirs * 2, "torch")
    return {
        "op": "add",
        "geometry": f"{ours}",
        "uses": [{"network": network, "layer": "x", "count": count}],
        "batch": 1,
        "dtype": "float32",
        "threads": 1,
        "flop": 2e6,
        "bytes": 4e6,
        "limit_ms": ours / 2,
        "bound": "memory",
        "contenders": {
            "native_cpu": entry(ours, None),
            "torch channels_last": entry(theirs, "torch"),
            "torch contiguous": slower,
        },
        "yardstick": None,
    }


def test_means_plain_and_weighted_by_how_often_the_network_has_the_layer() -> None:
    rows = [row(1, 2, 1), row(10, 5, 3)]
    (line,) = table.lines_of(rows[0])
    assert line.ratios == (("torch", 2.0),) and line.share == 0.5  # its better format
    assert line.gflops == pytest.approx(2) and line.gb_per_s == pytest.approx(4)
    (network, everything) = table.means(rows)
    assert (network.network, everything.network) == ("net", "all")
    for mean in (network, everything):
        assert mean.plain == pytest.approx(1.0)
        assert mean.weighted == pytest.approx((2 + 15) / (1 + 30))
    assert table.overall(rows)["native_cpu", "torch"] == pytest.approx(1.0)
    assert table.shares(rows)["native_cpu"] == pytest.approx(0.5)
