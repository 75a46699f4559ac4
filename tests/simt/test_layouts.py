"""Tensor-core fragments and number formats of the executor, against tables from elsewhere.

The kernels and the executor could share one misreading of the PTX documentation. The layouts here
are those of CUTLASS (cute/atom/mma_traits_sm80.hpp, LayoutA_TV and so on: thread and value to a
column-major offset), an independent statement that runs on GPUs every day.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from simt_program import run

ml_dtypes = pytest.importorskip("ml_dtypes")

# ((thread shape), (value shape)) : ((thread strides), (value strides)), offsets into a
# column-major matrix of `rows` rows: A is (m, k), B is (n, k), C is (m, n).
_HALF = {
    "a": (((4, 8), (2, 2, 2)), ((32, 1), (16, 8, 128)), 16),
    "b": (((4, 8), (2, 2)), ((16, 1), (8, 64)), 8),
    "c": (((4, 8), (2, 2)), ((32, 1), (16, 8)), 16),
}
_TF32 = {
    "a": (((4, 8), (2, 2)), ((16, 1), (8, 64)), 16),
    "b": (((4, 8), (2,)), ((8, 1), (32,)), 8),
    "c": (((4, 8), (2, 2)), ((32, 1), (16, 8)), 16),
}


def _places(layout):
    """lane * 8 + element -> (row, column)."""
    (threads, values), (thread_strides, value_strides), rows = layout
    places = {}
    for t in itertools.product(*map(range, reversed(threads))):
        lane_parts = t[::-1]  # the first mode varies fastest
        lane = lane_parts[0] + threads[0] * lane_parts[1]
        for number, v in enumerate(itertools.product(*map(range, reversed(values)))):
            offset = sum(i * s for i, s in zip(lane_parts, thread_strides, strict=True))
            offset += sum(i * s for i, s in zip(v[::-1], value_strides, strict=True))
            places[lane * 8 + number] = (offset % rows, offset // rows)
    return places


@pytest.mark.parametrize(
    ("kind", "layouts", "depth"),
    [("bfloat16", _HALF, 16), ("float16", _HALF, 16), ("tf32", _TF32, 8)],
)
def test_mma_fragments(program, kind, layouts, depth):
    lines = run(program("probe"), "mma", kind).stdout.decode().splitlines()
    got = {tuple(map(int, line.split())) for line in lines}
    a, b, c = (_places(layouts[name]) for name in "abc")
    at = {place: element for element, place in c.items()}
    wanted = {
        (a_element, b_element, at[row, column])
        for a_element, (row, k) in a.items()
        for b_element, (column, b_k) in b.items()
        if k == b_k
    }
    assert len(wanted) == 16 * 8 * depth
    assert got == wanted


@pytest.mark.parametrize("matrices", [2, 4])
def test_load_matrix(program, matrices):
    # "Thread t holds row t / 4, elements 2 * (t % 4) and the next" (PTX ISA, ldmatrix).
    for transposed in (False, True):
        text = run(program("probe"), "ldmatrix", f"x{matrices}", str(int(transposed))).stdout
        got = np.array(text.decode().split(), int).reshape(32, matrices, 2)
        stored = np.arange(256).reshape(4, 8, 8)[:matrices]
        seen = stored.swapaxes(1, 2) if transposed else stored
        wanted = seen.reshape(matrices, 32, 2).swapaxes(0, 1)
        np.testing.assert_array_equal(got, wanted)


def test_numbers(program):
    rng = np.random.default_rng(7)
    halves = np.arange(2**16, dtype=np.uint16)
    exact = halves.view(np.float16).astype(np.float32)
    brains = halves.view(ml_dtypes.bfloat16).astype(np.float32)
    anything = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    ordered = np.sort(exact[np.isfinite(exact)])
    ties = (ordered[1:].astype(np.float64) + ordered[:-1]) / 2  # halfway between two halves
    scaled = (rng.standard_normal(50_000) * 10.0 ** rng.uniform(-9, 6, 50_000)).astype(np.float32)
    x = np.concatenate([exact, brains, anything, ties.astype(np.float32), scaled])
    done = run(program("probe"), "numbers", data=x.tobytes())
    half, brain, tf32, half_back, brain_back = (
        np.frombuffer(done.stdout, np.uint32).reshape(-1, 5).T
    )
    with np.errstate(over="ignore", invalid="ignore"):
        _same(half.astype(np.uint16).view(np.float16), x.astype(np.float16))
        _same(brain.astype(np.uint16).view(ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16))
        _same(half_back.view(np.float32), x.astype(np.float16).astype(np.float32))
        _same(brain_back.view(np.float32), x.astype(ml_dtypes.bfloat16).astype(np.float32))
    # TF32: the nearest multiple of 2^-10 of the leading bit, ties away from zero.
    finite = np.isfinite(x) & (np.abs(x) < 1e38) & (np.abs(x) > 1e-37)
    fraction, exponent = np.frexp(x[finite].astype(np.float64))
    rounded = np.copysign(np.floor(np.abs(fraction) * 2**11 + 0.5), fraction) / 2**11
    np.testing.assert_array_equal(tf32.view(np.float32)[finite], np.ldexp(rounded, exponent))


def _same(got, wanted):
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(got[known], wanted[known])
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(wanted[known]))
