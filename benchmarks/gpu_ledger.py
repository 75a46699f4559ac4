"""Which kernels have ever run on a GPU: benchmarks/results/gpu_ledger.md.

    python benchmarks/gpu_ledger.py                          a row for each kernel of kernels.cuh
    python benchmarks/gpu_ledger.py --record DIR/report.json takes over what a run of gpu_report saw
    python benchmarks/gpu_ledger.py --check                  exit code 1 if a kernel has no row

Rows that are there already keep what they say; kernels that are gone lose theirs. Under the simt
executor every kernel runs on every commit; this page says what that cannot: never, or when a GPU
last agreed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DECLARATIONS = ROOT / "csrc" / "cuda" / "kernels.cuh"
LEDGER = ROOT / "benchmarks" / "results" / "gpu_ledger.md"

# Not kernels: they set how kernels run.
_OTHERS = ("force_tile",)

_HEAD = """\
# Kernels on a GPU

Written by benchmarks/gpu_ledger.py: what benchmarks/gpu_report.py last saw on a GPU, and "never"
where it has not been. "right" means every case of `convsmith check` in float32, within tolerance.

| kernel | last run | GPU | commit | result | bandwidth or rate |
|---|---|---|---|---|---|
"""
_NEVER = ("never", "", "", "", "")


def kernels(declarations: str) -> list[str]:
    """The functions that kernels.cuh declares, once each, in its order."""
    code = re.sub(r"//.*", "", declarations)
    found = re.findall(r"^(?:inline )?void\s+(\w+)\s*\(", code, re.M)
    return [name for name in dict.fromkeys(found) if name not in _OTHERS]


def read_rows(text: str) -> dict[str, tuple[str, ...]]:
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and cells[0] != "kernel" and not cells[0].startswith("-"):
            rows[cells[0]] = tuple(cells[1:])
    return rows


def rows_of(record: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """What a record of gpu_report says of each op that it checked."""
    machine, pieces = record["machine"], record.get("pieces", {})
    times = pieces.get("ops", {}).get("items", {})
    rows = {}
    for op, found in pieces.get("correctness", {}).get("items", {}).items():
        if found["state"] == "skipped":
            continue
        result = "right" if found["state"] == "ok" else f"WRONG: {found.get('error', '')}"[:80]
        time = times.get(f"{op} float32", {})
        rate = f"{time['gb_per_s']:.0f} GB/s" if "gb_per_s" in time else ""
        if "tflop_per_s" in time:
            rate = f"{time['tflop_per_s']:.1f} TFLOP/s"
        gpu = machine["GPU"].partition(",")[0]
        cells = (machine["date"], gpu, machine["commit"], result, rate)
        rows[op] = tuple(cell.replace("|", "/") for cell in cells)
    return rows


def render(names: list[str], rows: dict[str, tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join((name, *rows.get(name, _NEVER))) + " |\n" for name in names]
    return _HEAD + "".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", type=Path, help="report.json of gpu_report.py")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    args = parser.parse_args(arguments)
    names = kernels(DECLARATIONS.read_text())
    rows = read_rows(LEDGER.read_text()) if LEDGER.exists() else {}
    if args.record:
        rows.update(rows_of(json.loads(args.record.read_text())))
    text = render(names, rows)
    if args.check:
        if not LEDGER.exists() or LEDGER.read_text() != text:
            print(f"{LEDGER.name} does not list the kernels of {DECLARATIONS.name}: run {__file__}")
            return 1
        return 0
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    LEDGER.write_text(text)
    print(
        f"{len(names)} kernels, {sum(rows.get(n, _NEVER)[0] == 'never' for n in names)} never run"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
