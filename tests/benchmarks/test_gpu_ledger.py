"""The ledger lists every kernel, keeps what it knows and takes over what a GPU run saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu_ledger

DECLARATIONS = """
// void commented(int);
void force_tile(int row);
template <class T>
void add(int64_t size, const T* a);
template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& shape,
                        const T* x);
template <class T>
void add(int64_t size, const T* a, int more);
"""
RECORD = {
    "machine": {"GPU": "NVIDIA H200, 9.0, 143771 MiB", "date": "2025-01-02", "commit": "abc"},
    "pieces": {
        "correctness": {
            "items": {
                "add": {"state": "ok"},
                "max_pool2d_forward": {"state": "failed", "error": "3 of 9 | runs failed"},
            }
        },
        "ops": {"items": {"add float32": {"state": "ok", "ms": 1.0, "gb_per_s": 3900.2}}},
    },
}


@pytest.fixture
def files(monkeypatch, tmp_path):
    (tmp_path / "kernels.cuh").write_text(DECLARATIONS)
    (tmp_path / "report.json").write_text(json.dumps(RECORD))
    monkeypatch.setattr(gpu_ledger, "DECLARATIONS", tmp_path / "kernels.cuh")
    monkeypatch.setattr(gpu_ledger, "LEDGER", tmp_path / "ledger.md")
    return tmp_path


def test_every_kernel_begins_with_never(files):
    assert gpu_ledger.kernels(DECLARATIONS) == ["add", "max_pool2d_forward"]
    assert gpu_ledger.main(["--check"]) == 1
    assert gpu_ledger.main([]) == 0
    assert gpu_ledger.main(["--check"]) == 0
    assert "| add | never |" in (files / "ledger.md").read_text()


def test_a_run_is_taken_over_and_kept(files):
    assert gpu_ledger.main(["--record", str(files / "report.json")]) == 0
    text = (files / "ledger.md").read_text()
    assert "| add | 2025-01-02 | NVIDIA H200 | abc | right | 3900 GB/s |" in text
    assert "| max_pool2d_forward | 2025-01-02 | NVIDIA H200 | abc | WRONG: 3 of 9 / runs" in text
    assert gpu_ledger.main([]) == 0
    assert (files / "ledger.md").read_text() == text
    (files / "kernels.cuh").write_text("void add(int);\nvoid relu(int);\n")
    assert gpu_ledger.main([]) == 0
    rows = gpu_ledger.read_rows((files / "ledger.md").read_text())
    assert rows.keys() == {"add", "relu"} and rows["relu"][0] == "never"


def test_the_ledger_of_the_project_is_complete():
    assert gpu_ledger.main(["--check"]) == 0, "run python benchmarks/gpu_ledger.py"
