"""The CUDA kernels under the simt executor on the shared case list, as `convsmith check` runs it.

tests/simt/test_every_kernel.py adds every tile, every schedule, and the proof that each kernel ran.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("convsmith._simt")
pytest.importorskip("ml_dtypes")

from convsmith import _simt
from convsmith.backends import simt
from convsmith.backends.table import OPS
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.shapes import GemmShape
from convsmith.testing.check import Selection, run_check

DTYPES = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("op", OPS)
def test_right_on_every_case(op: str) -> None:
    dtypes = tuple(name for name in DTYPES if simt.supports(op, name))
    results = run_check([op], [simt], Selection(dtypes=dtypes))
    wrong = [result for result in results if not result.ok]
    assert len(results) >= 8 * len(dtypes)
    assert not wrong, f"{len(wrong)} of {len(results)}: {wrong[:3]}"


def test_force_tile_refuses() -> None:
    with pytest.raises(ValueError, match="force_tile: got row -2"):
        _simt.force_tile(-2, 0)


def test_beta_zero_never_reads_c() -> None:
    a, b = np.ones((3, 40), np.float32), np.ones((40, 9), np.float32)
    try:
        for splits in (1, 2):
            _simt.force_tile(3, splits)
            c = np.full((3, 9), np.nan, np.float32)
            simt.gemm(a, b, c, GemmShape(3, 9, 40, False, False), Epilogue(), alpha=0.5, beta=0.0)
            assert (c == 20).all()
    finally:
        _simt.force_tile()
