"""The reference in float64 agrees with PyTorch in float64, over the whole case list."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith.backends import OPS, reference
from convsmith.testing.cases import Case, cases_for
from convsmith.testing.check import run_case
from convsmith.testing.problem import evaluate

pytest.importorskip("torch")
import torch_backend

# Two float64 computations in another order, on integers of 12 bits and sums of some thousands.
RTOL = 1e-11
SCALE = 1e-12

# PyTorch refuses an empty batch here, and computes nearest positions in float32.
REFUSED_EMPTY = ("upsample_", "adaptive_avg_pool2d_backward")


def runs(op: str) -> list[tuple[Case, str]]:
    """Every case and fill that PyTorch can take."""
    empty = [
        case for case in cases_for(op) if getattr(getattr(case, "shape", None), "batch", 1) == 0
    ]
    skipped = empty if op.startswith(REFUSED_EMPTY) else []
    return [(case, fill) for case in cases_for(op) if case not in skipped for fill in case.fills]


@pytest.mark.parametrize("op", OPS)
def test_reference_equals_torch(op: str) -> None:
    assert runs(op)
    for case, fill in runs(op):
        problem = case.problem(op, fill)
        ours = evaluate(reference, problem)
        theirs = evaluate(torch_backend, problem)
        for name, value in ours.items():
            other = theirs[name]
            if name == "argmax":
                # PyTorch names the last NaN of a window, not the first, and where the maximum is
                # -inf maybe a tap in the padding; plain loops check those.
                lost = np.isneginf(ours["y"]) | np.isnan(ours["y"])
                value, other = np.where(lost, 0, value), np.where(lost, 0, other)
            size = float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
            np.testing.assert_allclose(
                value, other, rtol=RTOL, atol=SCALE * size, err_msg=f"{op} {case.id} {fill} {name}"
            )


@pytest.mark.parametrize("op", [op for op in OPS if op != "max_pool2d_forward"])
def test_tolerances_admit_an_honest_float32_library(op: str) -> None:
    """PyTorch in float32 passes the check's own rules, so that they ask nothing unreasonable."""
    for case, fill in runs(op):
        result = run_case(case, op, torch_backend, fill)
        assert result.ok, f"{case.id} {fill}: {result.message}, {result.share} of the tolerance"
