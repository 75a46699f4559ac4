"""Pooling cases: sliding windows, adaptive windows, and the values a maximum stumbles over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.backends import reference
from convsmith.ops.shapes import Pool2dShape, Resample2dShape
from convsmith.testing.conv2d_cases import sum_bounds
from convsmith.testing.problem import (
    FILLS,
    Bounds,
    NumpyArray,
    Out,
    Problem,
    evaluate,
    generator,
    values,
)
from convsmith.testing.tolerance import rounded

CHANNELS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100)


@dataclass(frozen=True)
class Pool2dCase:
    """One pooling geometry for max and average.

    special sprinkles NaN and both infinities over the input of the maximum; dilated windows are
    for the maximum only.
    """

    shape: Pool2dShape
    count_include_pad: bool = True
    special: bool = False

    fills = FILLS

    @property
    def id(self) -> str:
        s = self.shape
        parts = [
            f"pool2d-{s.batch}x{s.in_h}x{s.in_w}x{s.channels}",
            f"k{s.kernel_h}x{s.kernel_w}",
            f"s{s.stride_h}x{s.stride_w}",
            f"p{s.pad_top}.{s.pad_bottom}.{s.pad_left}.{s.pad_right}",
            f"d{s.dilation_h}x{s.dilation_w}",
            f"to{s.out_h}x{s.out_w}",
        ]
        parts += ["special"] * self.special + ["valid"] * (not self.count_include_pad)
        return "-".join(parts)

    @property
    def ops(self) -> tuple[str, ...]:
        ops: tuple[str, ...] = ("max_pool2d_forward", "max_pool2d_backward_input")
        if (self.shape.dilation_h, self.shape.dilation_w) == (1, 1) and not self.special:
            ops += ("avg_pool2d_forward", "avg_pool2d_backward_input")
        return ops

    @property
    def cost(self) -> int:
        s = self.shape
        return s.batch * s.out_h * s.out_w * s.channels * s.kernel_h * s.kernel_w

    def _input(self, rng: np.random.Generator, fill: str) -> NumpyArray:
        # Few distinct integers: most windows hold their maximum more than once.
        x = values(rng, fill, self.shape.x_shape, 3)
        if self.special:
            kind = rng.random(x.shape)
            x[kind < 0.06] = np.nan
            x[(kind >= 0.06) & (kind < 0.35)] = -np.inf
            x[(kind >= 0.35) & (kind < 0.38)] = np.inf
        return x

    def problem(self, op: str, fill: str) -> Problem:
        s = self.shape
        rng = generator(self, op, fill)
        taps = s.kernel_h * s.kernel_w
        argmax = Out("argmax", s.y_shape, np.uint8 if taps <= 255 else np.int32)
        if op == "max_pool2d_forward":
            x = self._input(rng, fill)
            return Problem(op, (x, Out("y", s.y_shape), argmax, s), _exact, shape=s)
        if op == "max_pool2d_backward_input":
            x = self._input(rng, fill)
            forward = Problem("max_pool2d_forward", (x, Out("y", s.y_shape), argmax, s), _exact)
            winner = evaluate(reference, forward)["argmax"]
            dy = values(rng, fill, s.y_shape, 2)
            arguments: tuple[Any, ...] = (dy, winner, Out("dx", s.x_shape), s)
            return _summed(Problem(op, arguments, _exact, shape=s), fill, taps)
        keywords = {"count_include_pad": self.count_include_pad}
        if op == "avg_pool2d_forward":
            x = values(rng, fill, s.x_shape, 4095)
            return _mean(Problem(op, (x, Out("y", s.y_shape), s), _exact, keywords, s), fill, taps)
        dy = values(rng, fill, s.y_shape, 4095)
        arguments = (dy, Out("dx", s.x_shape), s)
        return _summed(Problem(op, arguments, _exact, keywords, s), "real", taps + 1)


def _exact(expected: Any) -> Bounds:
    return dict.fromkeys(expected, 0.0)


def _summed(problem: Problem, fill: str, length: int) -> Problem:
    if fill == "integer":
        return problem

    def bounds(_: Any) -> Bounds:
        return sum_bounds(problem, length)

    return Problem(problem.op, problem.arguments, bounds, problem.keywords, problem.shape)


def _mean(problem: Problem, fill: str, taps: int) -> Problem:
    """Integers add up exactly, so only the division (or a product by its inverse) may round."""

    def bounds(expected: Any) -> Bounds:
        if fill == "integer":
            return {name: rounded(value, 2) for name, value in expected.items()}
        return sum_bounds(problem, taps + 2)

    return Problem(problem.op, problem.arguments, bounds, problem.keywords, problem.shape)


@dataclass(frozen=True)
class AdaptivePool2dCase:
    """Adaptive average pooling to any size, larger than the input as well."""

    shape: Resample2dShape

    fills = FILLS
    ops = ("adaptive_avg_pool2d_forward", "adaptive_avg_pool2d_backward_input")

    @property
    def id(self) -> str:
        s = self.shape
        return f"adaptive-{s.batch}x{s.in_h}x{s.in_w}x{s.channels}-to{s.out_h}x{s.out_w}"

    @property
    def cost(self) -> int:
        s = self.shape
        return 4 * s.batch * s.channels * max(s.in_h, s.out_h) * max(s.in_w, s.out_w)

    def problem(self, op: str, fill: str) -> Problem:
        s = self.shape
        rng = generator(self, op, fill)
        if op == "adaptive_avg_pool2d_forward":
            x = values(rng, fill, s.x_shape, 4095)
            taps = (s.in_h // s.out_h + 2) * (s.in_w // s.out_w + 2)
            return _mean(Problem(op, (x, Out("y", s.y_shape), s), _exact, shape=s), fill, taps)
        dy = values(rng, fill, s.y_shape, 4095)
        meets = (s.out_h // s.in_h + 2) * (s.out_w // s.in_w + 2)
        problem = Problem(op, (dy, Out("dx", s.x_shape), s), _exact, shape=s)
        return _summed(problem, "real", meets + 2)


def _hangs_over(s: Pool2dShape) -> bool:
    """Whether the last window reaches beyond the declared padding, as only ceil_mode allows."""
    bottom = (s.out_h - 1) * s.stride_h + s.kernel_h - s.pad_top
    right = (s.out_w - 1) * s.stride_w + s.kernel_w - s.pad_left
    return bottom > s.in_h + s.pad_bottom or right > s.in_w + s.pad_right


class _Draw:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def upto(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def shape(self, **given: Any) -> Pool2dShape:
        """A valid pooling; numbers not given are drawn until they fit."""
        for _ in range(10_000):
            pads = tuple(self.upto(0, 2) for _ in range(4))
            size = given.get("size", (self.upto(1, 13), self.upto(1, 13)))
            channels = given.get("channels", int(self.rng.choice(np.asarray(CHANNELS))))
            try:
                shape = Pool2dShape.infer(
                    (given.get("batch", self.upto(1, 2)), *size, channels),
                    kernel=given.get("kernel", (self.upto(1, 4), self.upto(1, 4))),
                    stride=given.get("stride", (self.upto(1, 3), self.upto(1, 3))),
                    padding=given.get("padding", (pads[:2], pads[2:])),
                    dilation=given.get("dilation", 1),
                    ceil_mode=given.get("ceil_mode", False),
                )
            except ValueError:
                continue
            if _hangs_over(shape) or not given.get("over_edge", False):
                return shape
        raise ValueError(f"no valid pooling has {given}")


def _shapes(draw: _Draw) -> Iterator[Pool2dShape]:
    for channels in CHANNELS:
        yield draw.shape(channels=channels, kernel=(2, 2), stride=2, padding=0, size=(9, 8))
        yield draw.shape(channels=channels, kernel=(3, 3), stride=2, padding=1, size=(8, 9))
    for _ in range(20):  # overlapping windows, the backward gathers from several
        yield draw.shape(kernel=(draw.upto(2, 4), draw.upto(2, 4)), stride=1)
    for _ in range(14):  # stride > kernel: some pixels meet no window
        yield draw.shape(kernel=(draw.upto(1, 2), draw.upto(1, 2)), stride=(3, 4), size=(11, 13))
    for _ in range(24):
        yield draw.shape(ceil_mode=True, stride=(draw.upto(2, 4), draw.upto(2, 4)))
    for _ in range(16):
        kernel = (draw.upto(2, 4), draw.upto(2, 4))
        yield draw.shape(ceil_mode=True, kernel=kernel, stride=(2, 3), over_edge=True)
    for _ in range(14):  # padding >= kernel: windows with nothing but padding
        yield draw.shape(kernel=(2, 2), padding=((3, 2), (2, draw.upto(2, 4))))
    for _ in range(10):  # kernel larger than the input
        yield draw.shape(size=(draw.upto(1, 3), 2), kernel=(4, 5), padding=((2, 2), (3, 3)))
    for size in ((1, 1), (1, 7), (7, 1)):
        yield draw.shape(size=size, kernel=(1, 1), stride=1, padding=0)
        yield draw.shape(size=size, kernel=(3, 3), padding="same", stride=2)
    for kernel in ((15, 17), (16, 16), (17, 16), (20, 13)):  # 255, 256, 272, 260 taps
        yield draw.shape(size=(19, 18), kernel=kernel, stride=2, padding=3, channels=3, batch=1)
        yield draw.shape(size=(17, 17), kernel=kernel, stride=1, padding=2, channels=2, batch=1)
    for _ in range(4):
        yield draw.shape(batch=0)
    for _ in range(12):
        yield draw.shape(size=(12, 11), dilation=(draw.upto(2, 3), draw.upto(1, 4)))


def pool2d_cases(seed: int) -> Iterator[Pool2dCase]:
    """Sliding windows, with padding counted and not, and special values."""
    draw = _Draw(seed + 1)
    for number, shape in enumerate(_shapes(draw)):
        yield Pool2dCase(shape, count_include_pad=number % 3 != 0)
    for _ in range(24):
        dilation = draw.upto(1, 2)
        shape = draw.shape(size=(8, 9), dilation=dilation, ceil_mode=bool(draw.upto(0, 1)))
        yield Pool2dCase(shape, special=True)
    # An argmax that needs more than a byte, in packs; a pack of channels and special values.
    yield Pool2dCase(Pool2dShape.infer((1, 19, 18, 8), kernel=(16, 17), stride=2, padding=3))
    wide = Pool2dShape.infer((2, 9, 8, 24), kernel=3, stride=2, padding=1)
    yield Pool2dCase(wide, special=True)


def adaptive_pool2d_cases(seed: int) -> Iterator[AdaptivePool2dCase]:
    """Global, dividing, not dividing, and growing."""
    draw = _Draw(seed + 2)
    sizes = ((7, 7, 1, 1), (6, 8, 3, 4), (7, 5, 3, 2), (10, 9, 7, 7), (3, 2, 5, 6), (1, 1, 4, 3))
    for in_h, in_w, out_h, out_w in sizes:
        for channels in (1, 17, CHANNELS[draw.upto(0, len(CHANNELS) - 1)] + 1):
            x_shape = (draw.upto(1, 3), in_h, in_w, channels)
            yield AdaptivePool2dCase(Resample2dShape.infer(x_shape, (out_h, out_w)))
    yield AdaptivePool2dCase(Resample2dShape.infer((0, 4, 4, 3), (2, 2)))
    yield AdaptivePool2dCase(Resample2dShape.infer((1, 56, 40, 5), 1))
    yield AdaptivePool2dCase(Resample2dShape.infer((2, 15, 13, 72), 1))
    yield AdaptivePool2dCase(Resample2dShape.infer((1, 9, 9, 280), (2, 3)))
    yield AdaptivePool2dCase(Resample2dShape.infer((1, 1, 1, 8), (9, 7)))
