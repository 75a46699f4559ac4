"""The memory-bound CUDA kernels under the simt executor, where the case list does not reach."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("convsmith._simt")
pytest.importorskip("ml_dtypes")

from storage import complaint, execute

from convsmith.backends import simt
from convsmith.ops.shapes import Resample2dShape
from convsmith.testing.cases import BatchNormCase, UpsampleCase, cases_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("op", ("sgd_update", "adam_update"))
@pytest.mark.parametrize("storage", ("float16", "bfloat16"))
def test_sixteen_bit_parameters(op: str, storage: str) -> None:
    wrong = []
    for case in cases_for(op):
        for shift in (0, 1):
            found = complaint(simt, case.problem(op, "real"), storage, shift)
            if found:
                wrong.append(f"{case.id} shift {shift}: {found}")
    assert not wrong, f"{len(wrong)}: {wrong[:3]}"


@pytest.mark.parametrize("op", BatchNormCase.ops)
def test_batch_norm_of_more_rows_than_one_round_of_blocks(op: str) -> None:
    """Every block takes several chunks; the mean is far from 0."""
    problem = BatchNormCase(800_000, 3, mean=100.0).problem(op, "real")
    assert complaint(simt, problem) is None


def test_batch_norm_chunks_under_any_schedule() -> None:
    """Warps that run ahead meet the column sums of the chunk before, in packs of four."""
    problem = BatchNormCase(70_000, 64).problem("batch_norm_forward", "real")
    usual = execute(simt, problem)
    for policy, seed in (("skew", 0), ("skew", 1), ("random", 1)):
        with simt.schedule(policy, seed):
            other = execute(simt, problem)
        assert all(array.tobytes() == other[name].tobytes() for name, array in usual.items())


@pytest.mark.parametrize("mode", ("bilinear", "corners"))
def test_bilinear_positions_at_every_pair_of_sizes(mode: str) -> None:
    """Forward and backward along one axis, all sizes up to 9: the backward's ranges are exact."""
    for size in range(1, 10):
        for out in range(1, 10):
            case = UpsampleCase(Resample2dShape.infer((1, size, 1, 4), (out, 1)), mode)
            for op in ("upsample_bilinear2d_forward", "upsample_bilinear2d_backward_input"):
                assert complaint(simt, case.problem(op, "real")) is None, (size, out, op)


def test_labels_out_of_range_are_refused() -> None:
    logits, losses = np.zeros((2, 3), np.float32), np.zeros(2, np.float32)
    for label in (-1, 3, 2**40):
        labels = np.array([0, label], np.int64)
        with pytest.raises(ValueError, match=f"labels: got {label} in row 1"):
            simt.softmax_cross_entropy(
                logits, labels, losses, np.zeros_like(logits), label_smoothing=0.0, scale=1.0
            )


def test_no_rows_give_statistics_of_zero() -> None:
    x, y = np.zeros((0, 5), np.float32), np.zeros((0, 5), np.float32)
    one = np.ones(5, np.float32)
    mean, var = np.full(5, np.nan, np.float32), np.full(5, np.nan, np.float32)
    simt.batch_norm_forward(x, one, one, y, mean, var, eps=1e-5)
    assert not mean.any() and not var.any()
    simt.batch_norm_backward(y, x, one, one, one, y.copy(), mean, var, eps=1e-5)
    assert not mean.any() and not var.any()


def test_division_by_multiplication(tmp_path: Path) -> None:
    program = tmp_path / "fast_divide"
    script = ROOT / "scripts" / "build_simt_program.sh"
    source = ROOT / "tests" / "cuda" / "fast_divide.cu"
    subprocess.run([script, program, "plain", source], check=True)
    done: Any = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "0\n", done.stdout
