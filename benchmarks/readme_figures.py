"""Writes README.md's table of figures from the committed record of `convsmith bench`.

convsmith bench --network all --against torch --json benchmarks/results/cpu.json
python benchmarks/readme_figures.py
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from convsmith.bench import record, table
from convsmith.bench.layers import NETWORKS
from convsmith.bench.works import CONVOLUTIONS, DEMO

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
RECORD = HERE / "results" / "cpu.json"
_BACKEND, _LIBRARY = "native_cpu", "torch"


def lines(found: record.Record) -> Iterator[str]:
    """The section: the machine, a row per network, then products and the training step."""
    machine, rows = found["machine"], found["rows"]
    means = {
        (mean.network, mean.op): mean
        for mean in table.means(rows)
        if (mean.backend, mean.library) == (_BACKEND, _LIBRARY)
    }
    batches = sorted({row["batch"] for row in rows if row["op"] in CONVOLUTIONS})
    threads = found["settings"]["threads"]
    busy = any(line.busy for row in rows for line in table.lines_of(row))
    yield (
        f"PyTorch's time over ours, so above 1 convsmith is faster: {machine['cpu']} "
        f"({machine['isa']}), {', '.join(map(str, threads))} threads, PyTorch {machine['torch']} "
        f"in its better memory format with huge pages, batch {', '.join(map(str, batches))}; "
        f"{machine['date'][:10]}, commit {machine['commit']}."
        + (" Measured while others used the machine: processor times." if busy else "")
        + " Each cell: the geometric mean over the network's distinct layers, and in brackets the "
        "ratio of the times of all its layers."
    )
    yield ""
    yield (
        "| convolutions of | "
        + " | ".join(op.removeprefix("conv2d_") for op in CONVOLUTIONS)
        + " |"
    )
    yield "|---" * (1 + len(CONVOLUTIONS)) + "|"
    for network in (*NETWORKS, "all"):
        cells = [means.get((network, op)) for op in CONVOLUTIONS]
        if any(cells):
            name = "**all**" if network == "all" else network
            text = (f"{m.plain:.2f}x ({m.weighted:.2f}x)" if m else "-" for m in cells)
            yield f"| {name} | {' | '.join(text)} |"
    yield ""
    yield "| | ratio |"
    yield "|---|---|"
    for label, kind in (
        ("GEMM 1024 to 2048, all transpositions", "square"),
        ("GEMM, one side at most 64", "skinny"),
    ):
        own = [row for row in rows if row["uses"][0]["layer"].startswith(kind)]
        ratio = table.overall(own).get((_BACKEND, _LIBRARY))
        if ratio is not None:
            yield f"| {label} | {ratio:.2f}x |"
    step = means.get((DEMO, "training_step"))
    if step is not None:
        yield f"| training step of the demo network, batch 64 | {step.plain:.2f}x |"
    limit = table.shares(rows).get(_BACKEND)
    if limit is not None:
        yield f"| share of the machine's measured limit, all rows | {limit:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("record", nargs="?", type=Path, default=RECORD)
    section = "\n".join(lines(record.read(parser.parse_args().record)))
    text = README.read_text()
    begin, end = "<!-- figures: begin -->", "<!-- figures: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"{README}: wanted one section between {begin} and {end}")
    README.write_text(pattern.sub(lambda _: f"{begin}\n{section}\n{end}", text))
    print(section)


if __name__ == "__main__":
    main()
