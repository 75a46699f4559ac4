"""CuPy's backend with NumPy in CuPy's place: the same lines, over the whole shared case list."""

from __future__ import annotations

import operator
import re
from pathlib import Path

import numpy as np
import pytest

from convsmith.backends import cupy_fallback, reference
from convsmith.backends.cupy_fallback import arrays, conv2d
from convsmith.backends.table import OPS
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape
from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_check
from convsmith.testing.problem import call, evaluate, map_arrays


@pytest.fixture(autouse=True)
def silent():
    """CuPy does not warn of NaN and infinity; NumPy in its place shall not either."""
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("op", OPS)
def test_right_on_every_case(op: str) -> None:
    results = run_check([op], [cupy_fallback])
    assert len(results) >= 2
    wrong = [f"{r.case} {r.fill}: {r.message}" for r in results if not r.ok]
    assert not wrong, f"{len(wrong)} of {len(results)}: {wrong[:3]}"


def outputs_of(problem, dtype=np.float32):
    """What the backend makes of a problem, stored in this type."""
    arrays = {}
    for out in problem.outputs:
        kind = dtype if np.dtype(out.dtype).kind == "f" else out.dtype
        arrays[out.name] = np.zeros(out.shape, kind)
        if out.start is not None:
            arrays[out.name][...] = out.start
    narrow = map_arrays(problem, lambda a: a.astype(dtype) if a.dtype.kind == "f" else a)
    keywords = {"algorithm": "auto"} if problem.op in conv2d.__dict__ else {}
    if problem.op == "conv2d_backward_bias":
        keywords = {}
    call(cupy_fallback, narrow, arrays, **keywords)
    return narrow, arrays


@pytest.mark.parametrize("op", OPS)
def test_float16_is_computed_in_float32(op: str) -> None:
    case = min((c for c in cases_for(op) if "real" in c.fills), key=lambda c: abs(c.cost - 2000))
    narrow, got = outputs_of(case.problem(op, "real"), np.float16)
    expected = evaluate(reference, narrow)
    for name, array in got.items():
        if array.dtype == np.float16:
            # Rounded once: within half a unit of the last place, and what float32 loses.
            np.testing.assert_allclose(array, expected[name], rtol=2**-11 * 1.02, atol=2e-6)
        else:
            np.testing.assert_array_equal(array, expected[name])


def test_float64_stays_float64() -> None:
    problem = next(c for c in cases_for("gemm") if c.cost > 500).problem("gemm", "real")
    narrow, got = outputs_of(problem, np.float64)
    np.testing.assert_allclose(got["c"], evaluate(reference, narrow)["c"], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_large_batch_is_worked_off_in_chunks(monkeypatch, groups: int) -> None:
    rng = np.random.default_rng(0)
    shape = Conv2dShape.infer((5, 6, 7, 4), (8, 3, 3, 4 // groups), padding=1, groups=groups)
    x, weight, dy = (
        rng.integers(-8, 9, size).astype(np.float32)
        for size in (shape.x_shape, shape.weight_shape, shape.y_shape)
    )

    def run():
        y, dx, dweight = np.empty_like(dy), np.empty_like(x), np.empty_like(weight)
        cupy_fallback.conv2d_forward(x, weight, y, shape, Epilogue(), algorithm="auto")
        cupy_fallback.conv2d_backward_input(dy, weight, dx, shape, algorithm="im2col")
        cupy_fallback.conv2d_backward_weight(x, dy, dweight, shape, algorithm="auto")
        return y, dx, dweight

    whole = run()
    image_bytes = 6 * 7 * 9 * (4 // groups) * 4
    for limit in (1, 2 * image_bytes):  # one image at a time; two, two, one
        monkeypatch.setattr(conv2d, "COLUMNS_BYTES", limit)
        for got, wanted in zip(run(), whole, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_taps_visit_what_the_window_meets() -> None:
    for stride, padding, dilation, size in ((1, 0, 1, 5), (2, 1, 1, 6), (3, 4, 2, 5), (1, 7, 3, 4)):
        shape = Pool2dShape.infer(
            (1, size, size + 2, 1), kernel=3, stride=stride, padding=padding, dilation=dilation
        )
        visited = set()
        for tap, (_, rows, columns), (_, in_rows, in_columns) in arrays.taps(shape):
            ys, xs = range(shape.out_h)[rows], range(shape.out_w)[columns]
            in_ys, in_xs = range(shape.in_h)[in_rows], range(shape.in_w)[in_columns]
            assert len(ys) == len(in_ys) > 0 and len(xs) == len(in_xs) > 0
            visited |= {
                (tap, i, j, h, w)
                for i, h in zip(ys, in_ys, strict=True)
                for j, w in zip(xs, in_xs, strict=True)
            }
        wanted = {
            (kh * 3 + kw, i, j, h, w)
            for kh in range(3)
            for kw in range(3)
            for i in range(shape.out_h)
            for j in range(shape.out_w)
            for h in [i * stride - padding + kh * dilation]
            for w in [j * stride - padding + kw * dilation]
            if 0 <= h < shape.in_h and 0 <= w < shape.in_w
        }
        assert visited == wanted


def test_nan_and_minus_infinity() -> None:
    x = np.array([[1, np.nan], [np.nan, 9]], np.float32)[None, :, :, None]
    shape = Pool2dShape.infer(x.shape, kernel=2, padding=((0, 0), (1, 1)), stride=1)
    y, argmax = np.empty(shape.y_shape, np.float32), np.empty(shape.y_shape, np.uint8)
    cupy_fallback.max_pool2d_forward(x, y, argmax, shape)
    assert np.isnan(y).all() and argmax[0, 0, :, 0].tolist() == [3, 1, 0]
    cupy_fallback.max_pool2d_forward(x, y, None, shape)
    assert np.isnan(y).all()
    losses, dlogits = np.empty(1, np.float32), np.empty((1, 3), np.float32)
    logits = np.array([[0, -np.inf, 0]], np.float32)
    label = np.array([0])
    cupy_fallback.softmax_cross_entropy(
        logits, label, losses, dlogits, label_smoothing=0.0, scale=1.0
    )
    np.testing.assert_allclose(losses, np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(dlogits, [[-0.5, 0, 0.5]], atol=1e-6)


def test_beta_zero_never_reads_the_output() -> None:
    c = np.full((2, 2), np.nan, np.float32)
    a, b = np.ones((2, 0), np.float32), np.ones((0, 2), np.float32)
    shape = GemmShape.infer(a.shape, b.shape)
    cupy_fallback.gemm(a, b, c, shape, Epilogue(), alpha=1.0, beta=0.0)
    np.testing.assert_array_equal(c, np.zeros((2, 2)))


def test_what_it_supports() -> None:
    for op in OPS:
        assert callable(getattr(cupy_fallback, op))
        for dtype in ("float16", "float32", "float64"):
            assert cupy_fallback.supports(op, np.dtype(dtype))
        assert cupy_fallback.supports(op, "bfloat16")
        assert not cupy_fallback.supports(op, np.dtype(np.int32))
    assert not cupy_fallback.supports("conv3d_forward", np.dtype(np.float32))
    assert cupy_fallback.algorithms("conv2d_forward", "float32") == ("im2col",)
    assert cupy_fallback.algorithms("add", "float32") == ()


def test_cupy_has_every_function_that_is_used() -> None:
    cupy = pytest.importorskip("cupy")
    folder = Path(cupy_fallback.__file__).parent
    names = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"\bxp\.((?:\w+\.)*\w+)", path.read_text())
    }
    assert {"where", "take", "lib.stride_tricks.as_strided"} <= names
    for name in names:
        assert operator.attrgetter(name)(cupy) is not None
