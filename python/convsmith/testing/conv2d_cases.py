"""Convolution cases: a seeded list with every awkward geometry a kernel is known to get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.backends import reference
from convsmith.ops.epilogue import ACTIVATIONS, Epilogue
from convsmith.ops.shapes import Conv2dShape
from convsmith.testing.problem import (
    FILLS,
    Bounds,
    NumpyArray,
    Out,
    Problem,
    evaluate,
    factors,
    generator,
    map_arrays,
    values,
)
from convsmith.testing.tolerance import dot_bound, through_activation

MAX_MACS = 1_000_000

# Around every vector and tile width in use: 4, 8, 16, 32, 48, 64, 96, 128.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 100, 130)
# Output pixels, the rows of the implicit GEMM, around tile heights.
ROWS = (1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 23, 24, 25, 31, 33)

NEGATIVE_SLOPE = 0.125  # a power of two, so that leaky_relu is exact on integers


@dataclass(frozen=True)
class Conv2dCase:
    """One convolution; `activation` other than None makes it a case of the epilogue alone."""

    shape: Conv2dShape
    bias: bool = False
    residual: bool = False
    activation: str = "identity"
    forward_only: bool = False

    fills = FILLS

    @property
    def id(self) -> str:
        s = self.shape
        parts = [
            f"conv2d-{s.batch}x{s.in_h}x{s.in_w}x{s.in_c}",
            f"o{s.out_c}k{s.kernel_h}x{s.kernel_w}",
            f"s{s.stride_h}x{s.stride_w}",
            f"p{s.pad_top}.{s.pad_bottom}.{s.pad_left}.{s.pad_right}",
            f"d{s.dilation_h}x{s.dilation_w}",
            f"g{s.groups}",
        ]
        parts += ["bias"] * self.bias + ["residual"] * self.residual
        parts += [self.activation] * (self.activation != "identity")
        parts += ["forward"] * self.forward_only
        return "-".join(parts)

    @property
    def ops(self) -> tuple[str, ...]:
        if self.forward_only:
            return ("conv2d_forward",)
        return (
            "conv2d_forward",
            "conv2d_backward_input",
            "conv2d_backward_weight",
            "conv2d_backward_bias",
        )

    @property
    def cost(self) -> int:
        return self.shape.macs

    def problem(self, op: str, fill: str) -> Problem:
        s = self.shape
        rng = generator(self, op, fill)
        taps = s.kernel_h * s.kernel_w
        if op == "conv2d_forward":
            length = taps * (s.in_c // s.groups)
            x, weight = factors(rng, fill, s.x_shape, s.weight_shape, length)
            epilogue = self._epilogue(rng, fill)
            return self._sum(
                op, (x, weight, Out("y", s.y_shape), s, epilogue), fill, length + 2, epilogue
            )
        if op == "conv2d_backward_input":
            length = taps * (s.out_c // s.groups)
            dy, weight = factors(rng, fill, s.y_shape, s.weight_shape, length)
            return self._sum(op, (dy, weight, Out("dx", s.x_shape), s), fill, length)
        length = s.batch * s.out_h * s.out_w
        x, dy = factors(rng, fill, s.x_shape, s.y_shape, length)
        if op == "conv2d_backward_weight":
            return self._sum(op, (x, dy, Out("dweight", s.weight_shape), s), fill, length)
        return self._sum(op, (dy, Out("dbias", (s.out_c,))), fill, length)

    def _epilogue(self, rng: np.random.Generator, fill: str) -> Epilogue:
        s = self.shape
        return Epilogue(
            bias=values(rng, fill, (s.out_c,), 4095) if self.bias else None,
            residual=values(rng, fill, s.y_shape, 4095) if self.residual else None,
            activation=self.activation,
            negative_slope=NEGATIVE_SLOPE,
        )

    def _sum(
        self,
        op: str,
        arguments: tuple[Any, ...],
        fill: str,
        length: int,
        epilogue: Epilogue | None = None,
    ) -> Problem:
        problem = Problem(op, arguments, _exact, shape=self.shape)
        activation = epilogue.activation if epilogue is not None else "identity"

        def bounds(expected: Mapping[str, NumpyArray]) -> Bounds:
            size = sum_bounds(problem, length) if fill == "real" else _exact(expected)
            return {
                name: through_activation(size[name], expected[name], activation) for name in size
            }

        return Problem(op, arguments, bounds, shape=self.shape)


def _exact(expected: Any) -> Bounds:
    return dict.fromkeys(expected, 0.0)


def sum_bounds(problem: Problem, length: int) -> Bounds:
    """dot_bound for an op that is linear in its inputs: B is the op itself on absolute values."""

    def plain(argument: Any) -> Any:
        if isinstance(argument, Epilogue):
            return Epilogue(argument.bias, argument.residual)
        return argument

    absolute = map_arrays(problem, np.abs)
    keywords = {
        name: abs(value) if name in ("alpha", "beta") else value
        for name, value in problem.keywords.items()
    }
    arguments = tuple(plain(a) for a in absolute.arguments)
    magnitude = evaluate(reference, Problem(problem.op, arguments, problem.bounds, keywords))
    return {name: dot_bound(value, length) for name, value in magnitude.items()}


class _Draw:
    """Random convolutions with some of their numbers given."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, choices: Any) -> int:
        return int(self.rng.choice(np.asarray(choices)))

    def upto(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def shape(self, **given: Any) -> Conv2dShape:
        """A valid convolution under MAX_MACS; numbers not given are drawn until they fit."""
        for _ in range(10_000):
            groups = given.get("groups", 1)
            in_c = given.get("in_c", groups * self.upto(1, 9))
            out_c = given.get("out_c", groups * self.upto(1, 9))
            kernel = given.get("kernel", (self.upto(1, 4), self.upto(1, 4)))
            size = given.get("size", (self.upto(1, 13), self.upto(1, 13)))
            try:
                shape = Conv2dShape.infer(
                    (given.get("batch", self.upto(1, 3)), *size, in_c),
                    (out_c, *kernel, in_c // groups),
                    stride=given.get("stride", (self.upto(1, 3), self.upto(1, 3))),
                    padding=given.get("padding", self.pads(0, 2)),
                    dilation=given.get("dilation", 1),
                    groups=groups,
                )
            except ValueError:
                continue
            if shape.macs <= MAX_MACS:
                return shape
        raise ValueError(f"no valid convolution of at most {MAX_MACS} multiply-adds has {given}")

    def pads(self, low: int, high: int) -> tuple[tuple[int, int], tuple[int, int]]:
        top, bottom, left, right = (self.upto(low, high) for _ in range(4))
        return ((top, bottom), (left, right))


def _by_channels(draw: _Draw) -> Iterator[Conv2dShape]:
    small = {"batch": 1, "size": (4, 5), "padding": 1, "stride": 1}
    for channels in CHANNELS:
        other = draw.pick(CHANNELS)
        yield draw.shape(in_c=channels, out_c=draw.upto(1, 20), kernel=(3, 3), **small)
        yield draw.shape(in_c=draw.upto(1, 20), out_c=channels, kernel=(3, 3), **small)
        yield draw.shape(in_c=channels, out_c=other, kernel=(1, 1), size=(5, 7), batch=1)
    for rows in ROWS:
        yield draw.shape(size=(1, rows), kernel=(1, 1), stride=1, padding=0, batch=1)
        yield draw.shape(size=(rows, 3), kernel=(3, 3), stride=1, padding=1, batch=1)
    for in_c, kernel in ((160, (3, 3)), (130, (1, 1)), (300, (1, 1)), (64, (5, 5)), (29, (3, 3))):
        yield draw.shape(in_c=in_c, out_c=7, kernel=kernel, size=(5, 6), stride=1, batch=1)
        yield draw.shape(in_c=3, out_c=in_c, kernel=kernel, size=(4, 5), stride=2, batch=2)


def _by_geometry(draw: _Draw) -> Iterator[Conv2dShape]:
    for _ in range(12):
        yield draw.shape(kernel=(1, 1), padding=draw.pads(1, 3), stride=draw.upto(1, 4))
    for _ in range(14):  # kernel larger than the input: only the padding makes room
        size = (draw.upto(1, 4), draw.upto(1, 4))
        kernel = (size[0] + draw.upto(1, 3), size[1] + draw.upto(1, 3))
        yield draw.shape(size=size, kernel=kernel, padding=draw.pads(2, 4))
    for _ in range(14):
        stride = (draw.upto(3, 5), draw.upto(3, 5))
        yield draw.shape(kernel=(draw.upto(1, 2), draw.upto(1, 2)), stride=stride)
    for _ in range(14):
        kernel = (draw.upto(1, 3), draw.upto(1, 3))
        yield draw.shape(kernel=kernel, padding=draw.pads(3, 5))
    for _ in range(14):
        top, left = draw.upto(0, 2), draw.upto(0, 2)
        pads = ((top, top + draw.upto(1, 2)), (left + draw.upto(1, 2), left))
        yield draw.shape(padding=pads)
    for _ in range(16):
        dilation = (draw.upto(2, 4), draw.upto(1, 3))
        yield draw.shape(size=(13, 11), dilation=dilation, stride=(draw.upto(2, 3), 2))
    for _ in range(10):  # the stride leaves a rest: the last rows of x meet no tap
        yield draw.shape(size=(10, 12), kernel=(3, 3), stride=(4, 5), padding=1)
    for sides in ((1, 1), (1, 9), (9, 1), (13, 13)):
        yield draw.shape(size=sides, kernel=(3, 3), padding=1, stride=1)
        yield draw.shape(size=sides, kernel=(3, 3), padding="same", stride=2)
        yield draw.shape(size=sides, kernel=(2, 4), padding="same", stride=1, in_c=16, out_c=16)
        yield draw.shape(size=sides, kernel=sides, padding=0, stride=1, in_c=17, out_c=9)
    for kernel in ((1, 5), (5, 1), (1, 2), (7, 1), (4, 6)):
        yield draw.shape(size=(9, 8), kernel=kernel)
    yield draw.shape(size=(3, 3), kernel=(3, 3), padding=((40, 0), (0, 40)), stride=(7, 9), in_c=2)
    yield draw.shape(size=(2, 3), kernel=(1, 1), padding=20, stride=3, in_c=5)
    first = {"in_c": 3, "out_c": 16, "batch": 1}  # the first layers of ResNet and AlexNet
    yield draw.shape(size=(23, 23), kernel=(7, 7), stride=2, padding=3, **first)
    yield draw.shape(size=(31, 29), kernel=(11, 11), stride=4, padding=2, **first)


def _by_groups(draw: _Draw) -> Iterator[Conv2dShape]:
    for groups in (2, 3, 4, 5, 8):
        for per_group in (1, 3, 8, 16):
            in_c, out_c = groups * per_group, groups * draw.upto(1, 17)
            yield draw.shape(groups=groups, in_c=in_c, out_c=out_c, size=(6, 5), batch=2)
    for channels in (1, 3, 8, 15, 16, 17, 33, 64, 100):
        for multiplier in (1, draw.upto(2, 3)):
            yield draw.shape(
                groups=channels,
                in_c=channels,
                out_c=channels * multiplier,
                kernel=(3, draw.upto(2, 4)),
                size=(draw.upto(5, 9), draw.upto(5, 9)),
                dilation=draw.upto(1, 2),
                padding=draw.pads(1, 3),
            )
    for _ in range(6):
        groups = draw.pick((1, 2, 4))
        yield draw.shape(batch=0, groups=groups, in_c=4 * groups, out_c=2 * groups)
    for _ in range(40):  # everything at once
        yield draw.shape(
            groups=draw.pick((1, 1, 2, 3)),
            in_c=6 * draw.upto(1, 3),
            out_c=6 * draw.upto(1, 4),
            dilation=(draw.upto(1, 3), draw.upto(1, 3)),
            padding=draw.pads(0, 4),
        )


# Channels in whole packs of eight, which tensor cores and vector loads want: batch, size, in_c,
# out_c, kernel, stride, padding, dilation, groups.
_IN_PACKS: tuple[tuple[Any, ...], ...] = (
    (2, (7, 9), 16, 24, (3, 3), 1, 1, 1, 1),
    (1, (9, 8), 40, 8, (3, 3), 2, 1, 1, 1),
    (2, (6, 7), 8, 72, (1, 1), 1, 0, 1, 1),  # the plain product
    (1, (11, 9), 32, 16, (5, 3), (3, 2), 2, 2, 1),
    (1, (8, 8), 48, 32, (3, 3), 1, 1, 1, 2),
    (1, (7, 7), 8, 8, (2, 2), 3, 0, 1, 1),  # phases that no tap meets
    (3, (5, 5), 64, 136, (1, 1), 2, 0, 1, 1),  # several tiles each way
    (1, (6, 5), 72, 144, (1, 1), 1, 0, 1, 1),
    (0, (5, 5), 8, 8, (3, 3), 1, 1, 1, 1),
    (1, (12, 12), 8, 8, (3, 3), 2, 2, 2, 1),  # dilation and stride share a factor
)


def shapes_in_packs() -> Iterator[Conv2dShape]:
    for batch, size, in_c, out_c, kernel, stride, padding, dilation, groups in _IN_PACKS:
        yield Conv2dShape.infer(
            (batch, *size, in_c),
            (out_c, *kernel, in_c // groups),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )


_MANY_TAPS: dict[str, Any] = {
    "kernel": (7, 6),
    "size": (9, 8),
    "stride": 1,
    "padding": 3,
    "batch": 1,
}


def conv2d_cases(seed: int) -> Iterator[Conv2dCase]:
    """Plain convolutions in all directions, then every epilogue, forward only."""
    draw = _Draw(seed)
    for shape in (*_by_channels(draw), *_by_geometry(draw), *_by_groups(draw)):
        yield Conv2dCase(shape, bias=draw.upto(0, 2) == 0)
    for activation in ACTIVATIONS:
        for bias in (False, True):
            for residual in (False, True):
                for kernel in ((1, 1), (3, 3)):
                    out_c = draw.pick((5, 16, 33))
                    shape = draw.shape(kernel=kernel, out_c=out_c, size=(6, 7))
                    yield Conv2dCase(shape, bias, residual, activation, forward_only=True)
    for groups in (4, 12):  # the epilogue of grouped and depthwise kernels
        for activation in ("relu", "silu"):
            shape = draw.shape(groups=groups, in_c=12, out_c=24, size=(6, 7))
            yield Conv2dCase(shape, True, True, activation, forward_only=True)
    for out_c in (8, 14):  # depthwise, more taps than fit shared memory at once
        yield Conv2dCase(draw.shape(groups=out_c // 2, in_c=out_c // 2, out_c=out_c, **_MANY_TAPS))
        yield Conv2dCase(draw.shape(groups=out_c, in_c=out_c, out_c=out_c, **_MANY_TAPS))
    for shape in shapes_in_packs():
        yield Conv2dCase(shape)
        yield Conv2dCase(shape, True, True, "relu", forward_only=True)
