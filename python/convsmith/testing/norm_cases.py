"""Batch normalisation and local response normalisation cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.backends import reference
from convsmith.testing.problem import Bounds, NumpyArray, Out, Problem, evaluate, generator
from convsmith.testing.tolerance import ATOL, RTOL, Float64, dot_bound, rounded, smooth


@dataclass(frozen=True)
class BatchNormCase:
    """x [rows, channels] with the given mean; its spread is 1 (0 when constant)."""

    rows: int
    channels: int
    mean: float = 0.0
    eps: float = 1e-5
    constant: bool = False

    fills = ("real",)
    ops = (
        "batch_norm_forward",
        "batch_norm_backward",
        "batch_norm_inference_forward",
        "batch_norm_inference_backward",
    )

    @property
    def id(self) -> str:
        constant = "-constant" if self.constant else ""
        return f"batch-norm-{self.rows}x{self.channels}-mean{self.mean}-eps{self.eps}{constant}"

    @property
    def cost(self) -> int:
        return 4 * self.rows * self.channels

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        rows, channels = self.rows, self.channels
        full, per_channel = (rows, channels), (channels,)

        def normal(shape: tuple[int, ...]) -> NumpyArray:
            return rng.standard_normal(shape).astype(np.float32)

        x = (normal(full) * (0.0 if self.constant else 1.0) + self.mean).astype(np.float32)
        dy, gamma, beta = normal(full), normal(per_channel), normal(per_channel)
        keywords = {"eps": self.eps}
        if op == "batch_norm_forward":
            outs = [Out("y", full), Out("mean", per_channel), Out("var", per_channel)]

            def bounds(expected: Any) -> Bounds:
                return self._forward_bounds(x, gamma, beta, expected)

            return Problem(op, (x, gamma, beta, *outs), bounds, keywords)
        if op == "batch_norm_backward":
            outs = [Out("y", full), Out("mean", per_channel), Out("var", per_channel)]
            forward = Problem("batch_norm_forward", (x, gamma, beta, *outs), dict, keywords)
            known = evaluate(reference, forward)
            mean, var = known["mean"].astype(np.float32), known["var"].astype(np.float32)
        else:
            mean, var = normal(per_channel) + np.float32(self.mean), np.abs(normal(per_channel))
        if op == "batch_norm_inference_forward":
            inference = (x, gamma, beta, mean, var, Out("y", full))
            scale = np.abs(gamma) / np.sqrt(var.astype(np.float64) + self.eps)
            size = scale * (np.abs(x) + np.abs(mean)) + np.abs(beta)
            return Problem(op, inference, lambda _: {"y": rounded(size, 8)}, keywords)
        outs = [Out("dx", full), Out("dgamma", per_channel), Out("dbeta", per_channel)]
        arguments = (dy, x, gamma, mean, var, *outs)

        def backward_bounds(expected: Any) -> Bounds:
            found = self._backward_bounds(dy, x, gamma, mean, var)
            if op == "batch_norm_inference_backward":
                return {**found, "dx": rounded(expected["dx"], 8)}
            return found

        return Problem(op, arguments, backward_bounds, keywords)

    def _forward_bounds(
        self, x: NumpyArray, gamma: NumpyArray, beta: NumpyArray, expected: Any
    ) -> Bounds:
        """mean as a sum; var 1e-5 relative, which a one-pass variance misses by far; y: both."""
        mean_bound = dot_bound(np.abs(x.astype(np.float64)).mean(axis=0), self.rows)
        # x - mean is off by the error of the mean, which enters the variance squared.
        var_bound = RTOL * expected["var"] + mean_bound**2
        scale = 1.0 / np.sqrt(expected["var"] + self.eps)
        distance = mean_bound + rounded(np.abs(x) + np.abs(expected["mean"]), 4)
        relative = RTOL + 0.5 * var_bound * scale**2
        normalised = np.abs(x - expected["mean"]) * scale
        y_bound = np.abs(gamma) * (distance * scale + normalised * relative)
        y_bound = y_bound + RTOL * np.abs(beta) + ATOL
        return {"y": y_bound, "mean": mean_bound, "var": var_bound}

    def _backward_bounds(
        self, dy: NumpyArray, x: NumpyArray, gamma: NumpyArray, mean: NumpyArray, var: NumpyArray
    ) -> dict[str, Float64]:
        """Sums over rows by dot_bound; dx carries the errors of both sums and 16 roundings."""
        scale = 1.0 / np.sqrt(var.astype(np.float64) + self.eps)
        normalised = np.abs(x.astype(np.float64) - mean) * scale
        size = np.abs(dy).astype(np.float64)
        product = (size * normalised).sum(axis=0)
        total = size.sum(axis=0)
        dgamma, dbeta = dot_bound(product, self.rows + 8), dot_bound(total, self.rows)
        count = max(self.rows, 1)
        parts = size + total / count + normalised * (product / count)
        errors = dbeta / count + normalised * (dgamma / count) + rounded(parts, 16)
        return {"dx": np.abs(gamma) * scale * errors, "dgamma": dgamma, "dbeta": dbeta}


@dataclass(frozen=True)
class LocalResponseNormCase:
    """Across `size` channels of the last axis."""

    shape: tuple[int, ...]
    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    fills = ("real",)
    ops = ("local_response_norm_forward", "local_response_norm_backward")

    @property
    def id(self) -> str:
        shape = "x".join(str(n) for n in self.shape)
        return f"lrn-{shape}-size{self.size}-alpha{self.alpha}-beta{self.beta}-k{self.k}"

    @property
    def cost(self) -> int:
        return 2 * int(np.prod(self.shape)) * self.size

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        x, dy = (rng.standard_normal(self.shape).astype(np.float32) * 3 for _ in range(2))
        keywords = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        if op == "local_response_norm_forward":
            arguments: tuple[Any, ...] = (x, Out("y", self.shape))
            return Problem(op, arguments, lambda e: {"y": smooth(e["y"])}, keywords)
        # The derivative is a direct term less others: on (-|dy|, |x|) with alpha < 0 in front all
        # terms have one sign. Bounding by the largest of each is simpler and hardly larger.
        absolute = Problem(op, (np.abs(dy), np.abs(x), Out("dx", self.shape)), dict, keywords)
        direct = np.abs(dy).astype(np.float64) * self.k**-self.beta

        def bounds(_: Any) -> Bounds:
            indirect = direct - evaluate(reference, absolute)["dx"]
            return {"dx": RTOL * (direct + np.abs(indirect)) + ATOL}

        return Problem(op, (dy, x, Out("dx", self.shape)), bounds, keywords)


def batch_norm_cases() -> Iterator[BatchNormCase]:
    for rows, channels in ((1, 1), (2, 3), (7, 17), (33, 16), (50, 100), (64, 8), (130, 33)):
        yield BatchNormCase(rows, channels)
    yield BatchNormCase(3000, 2)
    yield BatchNormCase(1000, 5, mean=100.0)  # E[x^2] - E[x]^2 loses the variance here
    yield BatchNormCase(257, 3, mean=-1000.0)
    yield BatchNormCase(40, 4, eps=1e-3)
    yield BatchNormCase(40, 4, mean=2.0, constant=True)
    yield BatchNormCase(700, 64)
    yield BatchNormCase(300, 256, mean=50.0)
    yield BatchNormCase(40, 2048)
    yield BatchNormCase(33, 264)  # more packs than a block is wide, and not a multiple
    yield BatchNormCase(5, 1031)


def local_response_norm_cases() -> Iterator[LocalResponseNormCase]:
    yield LocalResponseNormCase((2, 3, 5, 17), 5)
    yield LocalResponseNormCase((1, 2, 2, 1), 5)
    yield LocalResponseNormCase((3, 100), 5, alpha=0.5, k=2.0)
    yield LocalResponseNormCase((4, 16), 4, alpha=1.0, beta=0.5)
    yield LocalResponseNormCase((4, 3), 9, alpha=2.0)
    yield LocalResponseNormCase((5, 8), 1, alpha=1.0)
    yield LocalResponseNormCase((2, 2, 2, 33), 2, alpha=0.3, beta=1.0)
    yield LocalResponseNormCase((0, 8), 3)
    yield LocalResponseNormCase((3, 7, 64), 5, alpha=0.5)
    yield LocalResponseNormCase((3, 1200), 40, alpha=0.5)  # windows over the borders of tiles
    yield LocalResponseNormCase((1, 300), 530, alpha=0.5)  # wider than shared memory
