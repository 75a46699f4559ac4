"""Matrix product cases: every transposition, sizes around tiles, alpha, beta, epilogues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.ops.epilogue import ACTIVATIONS, Epilogue
from convsmith.ops.shapes import GemmShape
from convsmith.testing.conv2d_cases import NEGATIVE_SLOPE, sum_bounds
from convsmith.testing.problem import FILLS, Bounds, Out, Problem, factors, generator, values
from convsmith.testing.tolerance import through_activation

SIZES: tuple[int, ...] = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 48, 49, 63, 64, 65),
    *(96, 97, 100, 127, 128, 129, 130),
)
DEEP = (127, 128, 129, 255, 256, 257, 300, 384, 513)


@dataclass(frozen=True)
class GemmCase:
    """One product. alpha and beta are sums of few powers of two: exact on integers."""

    shape: GemmShape
    alpha: float = 1.0
    beta: float = 0.0
    bias: bool = False
    residual: bool = False
    activation: str = "identity"

    fills = FILLS
    ops = ("gemm",)

    @property
    def id(self) -> str:
        s = self.shape
        letters = ("t" if s.transpose_a else "n") + ("t" if s.transpose_b else "n")
        parts = [f"gemm-{s.gemm_m}x{s.gemm_n}x{s.gemm_k}", letters, f"a{self.alpha}b{self.beta}"]
        parts += ["bias"] * self.bias + ["residual"] * self.residual
        parts += [self.activation] * (self.activation != "identity")
        return "-".join(parts)

    @property
    def cost(self) -> int:
        return self.shape.macs

    def problem(self, op: str, fill: str) -> Problem:
        s = self.shape
        rng = generator(self, op, fill)
        a_shape = (s.gemm_k, s.gemm_m) if s.transpose_a else (s.gemm_m, s.gemm_k)
        b_shape = (s.gemm_n, s.gemm_k) if s.transpose_b else (s.gemm_k, s.gemm_n)
        a, b = factors(rng, fill, a_shape, b_shape, s.gemm_k)
        start = values(rng, fill, s.c_shape, 4095) if self.beta else None
        epilogue = Epilogue(
            bias=values(rng, fill, (s.gemm_n,), 4095) if self.bias else None,
            residual=values(rng, fill, s.c_shape, 4095) if self.residual else None,
            activation=self.activation,
            negative_slope=NEGATIVE_SLOPE,
        )
        arguments = (a, b, Out("c", s.c_shape, start=start), s, epilogue)
        keywords = {"alpha": self.alpha, "beta": self.beta}

        def bounds(expected: Any) -> Bounds:
            size: Any = 0.0
            if fill == "real":
                size = sum_bounds(problem, s.gemm_k + 5)["c"]
            return {"c": through_activation(size, expected["c"], self.activation)}

        problem = Problem(op, arguments, bounds, keywords, s)
        return problem


def gemm_cases(seed: int) -> Iterator[GemmCase]:
    """Sizes first, in all four transpositions, then scaling, then epilogues."""
    rng = np.random.default_rng(seed + 3)
    used: set[str] = set()

    def case(m: int, n: int, k: int, number: int, **more: Any) -> Iterator[GemmCase]:
        made = GemmCase(GemmShape(m, n, k, bool(number & 1), bool(number & 2)), **more)
        if made.id not in used:
            used.add(made.id)
            yield made

    def pick(sizes: tuple[int, ...]) -> int:
        return int(rng.choice(np.asarray(sizes)))

    for number, size in enumerate(SIZES):
        yield from case(size, pick(SIZES), pick(SIZES), number)
        yield from case(pick(SIZES), size, pick(SIZES), number + 1)
        yield from case(pick(SIZES), pick(SIZES), size, number + 2)
    for number, size in enumerate(DEEP):
        for flags in range(4):
            yield from case(5 + number, 17, size, flags)
    for number in range(4):
        yield from case(0, 5, 3, number)
        yield from case(4, 6, 0, number)
        yield from case(1, 1, 1, number)
        yield from case(130, 130, 40, number)
        yield from case(1, 130, 300, number)
        yield from case(130, 1, 300, number)
    for number, alpha in enumerate((0.0, 1.0, -1.0, 0.5, 1.5)):
        for beta in (0.0, 1.0, -0.5, 2.0):
            yield from case(7 + number, 33, 19, number, alpha=alpha, beta=beta)
            yield from case(4, 6, 0, number, alpha=alpha, beta=beta)
    for number, activation in enumerate(ACTIVATIONS):
        for bias in (False, True):
            for residual in (False, True):
                m, n, k = pick(SIZES), pick(SIZES), pick((9, 40))
                extra: dict[str, Any] = {"bias": bias, "residual": residual}
                extra["activation"] = activation
                yield from case(m, n, k, number, **extra)
                yield from case(6, 16, 300, number + 1, beta=1.0, alpha=0.5, **extra)
    for m, n, k in ((40, 72, 48), (136, 8, 80), (8, 136, 24), (16, 16, 0), (12, 20, 36)):
        for flags in range(4):  # whole packs everywhere: tensor cores and vector loads
            yield from case(m, n, k, flags)
            extra = {"bias": True, "residual": True, "activation": "silu"}
            yield from case(m, n, k, flags, alpha=0.5, beta=2.0, **extra)
    for m, n, k in ((5, 72, 48), (129, 16, 8)):  # any number of rows of a
        yield from case(m, n, k, 2)
