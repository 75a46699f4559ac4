"""Tensor-core kernels under the simt executor: shapes that fit them, every tile, split or not.

Few of the shared cases have channels in whole 16-byte chunks at aligned addresses; here they are
alone. TF32 is held against the float32 tolerance on inputs that TF32 can hold, where its products
are exact, so that a wrong element cannot hide behind the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from storage import complaint, execute, placed

pytest.importorskip("convsmith._simt")

from convsmith import _simt
from convsmith.backends import simt
from convsmith.ops.epilogue import Epilogue
from convsmith.ops.shapes import Conv2dShape, GemmShape
from convsmith.testing.cases import Conv2dCase, GemmCase
from convsmith.testing.conv2d_cases import shapes_in_packs
from convsmith.testing.problem import NumpyArray, map_arrays

CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
TILES = ((-1, 0), (0, 0), (1, 3), (2, 0), (3, 2))

SHAPES = tuple(shapes_in_packs())


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    yield
    _simt.force_tile()
    _simt.set_schedule("round_robin", 0)


def convolution(shape: Conv2dShape, epilogue: bool = False) -> Conv2dCase:
    return Conv2dCase(shape, epilogue, epilogue, "relu" if epilogue else "identity")


class Named:
    """The simt backend with the algorithm given, for code that calls ops without one."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm

    def __getattr__(self, op: str) -> Any:
        return partial(getattr(simt, op), algorithm=self.algorithm)


def in_tf32(array: NumpyArray) -> NumpyArray:
    """The float32 numbers cut to the 10 bits of mantissa that TF32 keeps."""
    return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize(("row", "splits"), TILES)
@pytest.mark.parametrize("storage", ("float16", "bfloat16"))
@pytest.mark.parametrize("op", CONVOLUTIONS)
def test_sixteen_bits(op: str, storage: str, row: int, splits: int) -> None:
    _simt.force_tile(row, splits)
    for number, shape in enumerate(SHAPES):
        case = convolution(shape, epilogue=number % 2 == 0)
        assert simt.algorithms(op, storage, case.shape) == ("tensor_core", "direct")
        problem = case.problem(op, "real")
        assert complaint(Named("tensor_core"), problem, storage) is None


@pytest.mark.parametrize(("row", "splits"), TILES)
@pytest.mark.parametrize("op", CONVOLUTIONS)
def test_tf32(op: str, row: int, splits: int) -> None:
    _simt.force_tile(row, splits)
    for number, shape in enumerate(SHAPES):
        case = convolution(shape, epilogue=number % 2 == 0)
        assert simt.algorithms(op, "float32", case.shape) == ("direct", "tf32")
        problem = map_arrays(case.problem(op, "real"), in_tf32)
        assert complaint(Named("tf32"), problem) is None


def test_tf32_rounds_and_auto_does_not() -> None:
    case = convolution(SHAPES[0])
    problem = case.problem("conv2d_forward", "real")
    results = {name: execute(Named(name), problem)["y"] for name in ("auto", "direct", "tf32")}
    assert results["auto"].tobytes() == results["direct"].tobytes()
    error = np.abs(results["tf32"] - results["direct"]).max()
    assert 1e-5 < error < 0.05


@pytest.mark.parametrize(("row", "splits"), TILES)
@pytest.mark.parametrize("storage", ("float16", "bfloat16"))
def test_gemm(storage: str, row: int, splits: int) -> None:
    _simt.force_tile(row, splits)
    for m, n, k in ((40, 72, 48), (136, 8, 80), (8, 136, 24), (16, 16, 0)):
        for flags in range(4):
            shape = GemmShape(m, n, k, bool(flags & 1), bool(flags & 2))
            for case in (GemmCase(shape), GemmCase(shape, 0.5, 2.0, True, True, "silu")):
                assert complaint(simt, case.problem("gemm", "real"), storage) is None
    for m, n, k in ((5, 72, 48), (129, 16, 8)):  # any number of rows of a
        assert (
            complaint(
                simt, GemmCase(GemmShape(m, n, k, False, True)).problem("gemm", "real"), storage
            )
            is None
        )


@pytest.mark.parametrize("policy", ("skew", "random"))
def test_order_of_threads(policy: str) -> None:
    """Copies that land late and warps that run ahead must not change a bit."""
    problem = convolution(SHAPES[3]).problem("conv2d_forward", "real")
    for row in range(4):
        _simt.force_tile(row, 0)
        _simt.set_schedule("round_robin", 0)
        expected = execute(Named("tensor_core"), problem, "bfloat16")["y"].tobytes()
        for seed in range(4):
            _simt.set_schedule(policy, seed)
            assert execute(Named("tensor_core"), problem, "bfloat16")["y"].tobytes() == expected


def test_memory_that_is_not_aligned_takes_the_direct_kernel() -> None:
    problem = convolution(SHAPES[0]).problem("conv2d_forward", "real")
    assert complaint(Named("tensor_core"), problem, "bfloat16", shift=3) is None


def test_shapes_that_do_not_fit_offer_the_direct_kernel_alone() -> None:
    shape = Conv2dShape.infer((1, 6, 6, 12), (8, 3, 3, 12))
    assert simt.algorithms("conv2d_forward", "bfloat16", shape) == ("direct",)
    assert simt.algorithms("conv2d_forward", "float32", shape) == ("direct", "tf32")
    x, w = placed(np.ones(shape.x_shape, np.float32), 0), np.ones(shape.weight_shape, np.float32)
    y = np.empty(shape.y_shape, np.float32)
    with pytest.raises(ValueError, match="algorithm: got 'fft'"):
        simt.conv2d_forward(x, w, y, shape, Epilogue(), algorithm="fft")
