"""README's section of figures follows from a record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import readme_figures

from convsmith.bench import record


def row(op: str, layer: str, network: str, ours: float, theirs: float) -> dict[str, Any]:
    def entry(ms: float, peer: str | None) -> dict[str, Any]:
        samples = {"ms": [ms] * 3, "cpu_ms": [ms] * 3, "waited_ms": [0.0] * 3, "switches": [0] * 3}
        return {"peer": peer, "error": "", "samples": samples}

    return {
        "op": op,
        "geometry": layer,
        "uses": [{"network": network, "layer": layer, "count": 1}],
        "batch": 8,
        "dtype": "float32",
        "threads": 2,
        "flop": 1,
        "bytes": 1,
        "limit_ms": ours / 2,
        "contenders": {"native_cpu": entry(ours, None), "torch": entry(theirs, "torch")},
        "yardstick": None,
    }


def test_the_section() -> None:
    machine = {"cpu": "A CPU", "isa": "avx2", "torch": "9.9", "date": "2026-01-02T", "commit": "c0"}
    rows = [
        row("conv2d_forward", "conv1", "resnet50", 1.0, 2.0),
        row("conv2d_forward", "conv2", "resnet50", 1.0, 0.5),
        row("gemm", "square 1024x1024x1024 NN", "matrices", 1.0, 1.5),
        row("training_step", "training step", "demo", 1.0, 1.25),
    ]
    found = {"machine": machine, "settings": {"threads": [2]}, "rows": rows}
    text = "\n".join(readme_figures.lines(found))
    assert "A CPU (avx2), 2 threads, PyTorch 9.9" in text and "2026-01-02, commit c0" in text
    assert "| resnet50 | 1.00x (1.25x) | - | - |" in text
    assert "| GEMM 1024 to 2048, all transpositions | 1.50x |" in text and "skinny" not in text
    assert "| training step of the demo network, batch 64 | 1.25x |" in text
    assert "| share of the machine's measured limit, all rows | 50% |" in text


def test_readme_is_what_the_committed_record_gives() -> None:
    if not readme_figures.RECORD.exists():
        pytest.skip("there is no record yet")
    section = "\n".join(readme_figures.lines(record.read(readme_figures.RECORD)))
    assert section in readme_figures.README.read_text()
