"""The record of a run: a JSON file with a version, the machine, the limits and every sample.

{"schema": 1, "complete": bool, "machine": {...}, "settings": {...}, "limits": {...}, "rows": [...]}

A row is one work with one dtype and number of threads; its contenders ran in turn:

{"op", "geometry", "uses": [{"network", "layer", "count"}], "batch", "dtype", "threads", "flop",
 "bytes", "limit_ms", "bound", "contenders": {name: {"peer", "error", "samples"}},
 "yardstick": {"flop", "bytes", "multiply_add": samples, "copy": samples}}

samples: {"ms": [...], "cpu_ms": [...], "waited_ms": [...], "switches": [...]}, see
timing.Samples. threads, limit_ms, bound and yardstick are null where they do not apply.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import convsmith
from convsmith import machine
from convsmith.bench.cold import cache_sizes
from convsmith.bench.timing import Samples

SCHEMA = 1
Record: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

_KEYS = ("schema", "complete", "machine", "settings", "limits", "rows")
_ROW_KEYS = (
    *("op", "geometry", "uses", "batch", "dtype", "threads", "flop", "bytes", "limit_ms"),
    *("bound", "contenders", "yardstick"),
)


def _commit() -> str:
    """Of the checkout that runs, with + where it was changed; "unknown" outside one."""
    words = ["git", "describe", "--always", "--dirty=+"]
    try:
        found = subprocess.run(
            words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def _governor() -> str | None:
    try:
        return Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return None


def describe_machine() -> dict[str, Any]:
    """What the numbers belong to."""
    cpu, _ = machine.native_module("_cpu")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": machine.cpu_model(),
        "isa": cpu.isa() if cpu else None,
        "cores": machine.usable_cpus(),
        "caches": cache_sizes(),
        "governor": _governor(),
        "gpus": machine.gpus(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "convsmith": convsmith.__version__,
    }


def samples_of(entry: dict[str, Any]) -> Samples:
    found = entry.get("samples", entry)
    return Samples(found["ms"], found["cpu_ms"], found["waited_ms"], found["switches"])


def timed(row: Row, peer: str | bool | None = False) -> Iterator[tuple[str, Samples]]:
    """(name, samples) of the row's contenders without an error; peer None: the backends of ours,
    a name: those of that library, False: all."""
    for name, entry in row["contenders"].items():
        if not entry["error"] and (peer is False or entry["peer"] == peer):
            yield name, samples_of(entry)


def title(row: Row) -> str:
    use = row["uses"][0]
    return f"{use['network']} {use['layer']}"


def dump(record: Record) -> str:
    """JSON with a line a row, so that a version control shows what changed."""

    def compact(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.5g}")
        if isinstance(value, dict):
            return {key: compact(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [compact(item) for item in value]
        return asdict(value) if isinstance(value, Samples) else value

    head = {key: value for key, value in record.items() if key != "rows"}
    text = json.dumps(compact(head), indent=1)
    rows = ",\n  ".join(json.dumps(compact(row)) for row in record["rows"])
    return f'{text[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n'


def write(record: Record, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(record))


def read(path: Path) -> Record:
    """Raises ValueError for a file that is no record of this schema, OSError for none at all."""
    try:
        record: Record = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"{path}: got no JSON ({error}), wanted a record of bench --json"
        ) from None
    missing = [key for key in _KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise ValueError(
            f"{path}: got no key {missing[0]!r}, wanted a record of convsmith bench --json"
        )
    if record["schema"] != SCHEMA:
        raise ValueError(
            f"{path}: schema: got {record['schema']}, wanted {SCHEMA}: measure again with this "
            "version"
        )
    for row in record["rows"]:
        if any(key not in row for key in _ROW_KEYS):
            raise ValueError(f"{path}: got a row without one of {', '.join(_ROW_KEYS)}")
    return record


def peers(rows: Sequence[Row]) -> list[str]:
    """The libraries that were timed, in order."""
    found = (entry["peer"] for row in rows for entry in row["contenders"].values())
    return list(dict.fromkeys(name for name in found if name))
