"""Upsampling cases: nearest and bilinear, whole factors, odd factors, shrinking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.ops.shapes import Resample2dShape
from convsmith.testing.conv2d_cases import sum_bounds
from convsmith.testing.problem import FILLS, Bounds, Out, Problem, generator, values
from convsmith.testing.tolerance import rounded


def _exact(expected: Any) -> Bounds:
    return dict.fromkeys(expected, 0.0)


@dataclass(frozen=True)
class UpsampleCase:
    """mode is nearest, bilinear or corners (bilinear with align_corners)."""

    shape: Resample2dShape
    mode: str

    fills = FILLS

    @property
    def id(self) -> str:
        s = self.shape
        size = f"{s.batch}x{s.in_h}x{s.in_w}x{s.channels}-to{s.out_h}x{s.out_w}"
        return f"upsample-{self.mode}-{size}"

    @property
    def ops(self) -> tuple[str, ...]:
        kind = "nearest" if self.mode == "nearest" else "bilinear"
        return (f"upsample_{kind}2d_forward", f"upsample_{kind}2d_backward_input")

    @property
    def cost(self) -> int:
        s = self.shape
        return 4 * s.batch * s.out_h * s.out_w * s.channels

    def problem(self, op: str, fill: str) -> Problem:
        s = self.shape
        rng = generator(self, op, fill)
        forward = op.endswith("_forward")
        given = values(rng, fill, s.x_shape if forward else s.y_shape, 4095)
        out = Out("y", s.y_shape) if forward else Out("dx", s.x_shape)
        meets = (-(-s.out_h // s.in_h) + 1) * (-(-s.out_w // s.in_w) + 1)
        arguments = (given, out, s)
        if self.mode == "nearest":
            problem = Problem(op, arguments, _exact, shape=s)
            if forward or fill == "integer":
                return problem
            return Problem(op, arguments, lambda _: sum_bounds(problem, meets), shape=s)
        keywords = {"align_corners": self.mode == "corners"}
        problem = Problem(op, arguments, _exact, keywords, s)

        def bounds(expected: Any) -> Bounds:
            # A source position may be computed in float32: off by a few u times the side's
            # length, and so is each weight; every meeting brings one such error.
            size = np.abs(given).max(initial=0.0)
            positions = rounded(size, 4 * (s.in_h + s.in_w) * (1 if forward else 4 * meets))
            sums = sum_bounds(problem, 4 if forward else 4 * meets)
            return {name: sums[name] + positions for name in expected}

        return Problem(op, arguments, bounds, keywords, s)


def upsample2d_cases() -> Iterator[UpsampleCase]:
    sizes = (
        *((1, 1, 1, 1), (1, 1, 3, 4), (2, 2, 4, 4), (4, 5, 8, 10), (3, 5, 9, 5)),
        *((5, 7, 7, 13), (6, 6, 4, 3), (7, 3, 1, 2), (5, 4, 11, 9)),
    )
    for mode in ("nearest", "bilinear", "corners"):
        for in_h, in_w, out_h, out_w in sizes:
            for channels in (1, 17, 100):
                x_shape = (2 if channels == 17 else 1, in_h, in_w, channels)
                yield UpsampleCase(Resample2dShape.infer(x_shape, (out_h, out_w)), mode)
        yield UpsampleCase(Resample2dShape.infer((0, 3, 3, 4), (6, 6)), mode)
        yield UpsampleCase(Resample2dShape.infer((2, 3, 4, 24), (5, 7)), mode)
        yield UpsampleCase(Resample2dShape.infer((1, 5, 6, 24), (4, 3)), mode)
        yield UpsampleCase(Resample2dShape.infer((1, 2, 2, 40), (9, 8)), mode)  # many users each
