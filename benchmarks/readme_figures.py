"""Writes README.md's table of figures from the record of cpu_vs_torch.py.

python benchmarks/cpu_vs_torch.py && python benchmarks/readme_figures.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convsmith.bench.layers import NETWORKS
from convsmith.bench.timing import geometric_mean

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
DIRECTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


def ratios(record: dict[str, Any], direction: str, network: str | None = None) -> list[float]:
    return [
        row["ratio"]
        for row in record["conv2d"]
        if row["direction"] == direction and network in (None, row["network"])
    ]


def lines(record: dict[str, Any]) -> Iterator[str]:
    machine = record["machine"]
    yield (
        f"PyTorch's time over ours, so above 1 convsmith is faster: {machine['cpu']} "
        f"({machine['isa']}), {machine['threads']} threads, PyTorch {machine['torch']} in its "
        f"better memory format with huge pages, batch {record['batch']}; {machine['date']}, "
        f"commit {machine['commit']}. Geometric means over each network's distinct layers:"
    )
    yield ""
    yield "| convolutions of | forward | backward_input | backward_weight |"
    yield "|---|---|---|---|"
    for network in (*NETWORKS, None):
        cells = [f"{geometric_mean(ratios(record, d, network)):.2f}x" for d in DIRECTIONS]
        yield f"| {network or '**all**'} | {' | '.join(cells)} |"
    yield ""
    yield "| | ratio |"
    yield "|---|---|"
    gemm = [row["ratio"] for row in record["gemm"]]
    yield f"| GEMM 1024 to 2048, all transpositions | {geometric_mean(gemm):.2f}x |"
    step = record["demo_step"]
    yield f"| training step of the demo network, batch {step['batch']} | {step['ratio']:.2f}x |"


def main() -> None:
    threads = max(HERE.glob("results/cpu_vs_torch_*threads.json"))
    table = "\n".join(lines(json.loads(threads.read_text())))
    text = README.read_text()
    begin, end = "<!-- figures: begin -->", "<!-- figures: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"{README}: wanted one section between {begin} and {end}")
    README.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text))
    print(table)


if __name__ == "__main__":
    main()
