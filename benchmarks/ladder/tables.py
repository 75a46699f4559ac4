"""Write the measured tables into the README of each ladder, between its two markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "results" / "ladder_cpu.json"
BEGIN, END = "<!-- table: tables.py writes it -->", "<!-- end of table -->"


def table(result: dict[str, Any], ladder: str) -> str:
    """One row a rung, one pair of columns a size."""
    records = [record for record in result["records"] if record["ladder"] == ladder]
    sizes = list(dict.fromkeys(tuple(record["size"]) for record in records))
    rungs = list(dict.fromkeys(record["rung"] for record in records))
    by = {(record["rung"], tuple(record["size"])): record for record in records}
    names = ["x".join(map(str, size)) for size in sizes]
    lines = [
        "| rung | " + " | ".join(f"{name}: GFLOP/s | of peak | gain" for name in names) + " |",
        "|---|" + "--:|--:|--:|" * len(sizes),
    ]
    for rung in rungs:
        cells = []
        for size in sizes:
            record = by[rung, size]
            gain = "" if record["gain"] is None else f"x {record['gain']:.2f}"
            cells += [f"{record['gflops']:.1f}", f"{record['share_of_peak']:.1%}", gain]
        lines.append(f"| {rung} | " + " | ".join(cells) + " |")
    machine = result["machine"]
    origin = f"{machine['cpu']}, {machine['isa']}, one thread, commit {machine['commit']}"
    return "\n".join([*lines, "", f"{origin}, {machine['date'][:10]}."])


def insert(text: str, content: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def main() -> None:
    result = json.loads(RECORD.read_text())
    for ladder in dict.fromkeys(record["ladder"] for record in result["records"]):
        readme = HERE / ladder / "README.md"
        readme.write_text(insert(readme.read_text(), table(result, ladder)))


if __name__ == "__main__":
    main()
