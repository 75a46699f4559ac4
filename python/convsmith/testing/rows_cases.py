"""Cases of the ops on rows [..., C]: activations, add, softmax and cross-entropy, updates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.backends import reference
from convsmith.ops.epilogue import ACTIVATIONS
from convsmith.testing.conv2d_cases import NEGATIVE_SLOPE
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
from convsmith.testing.tolerance import (
    ATOL,
    EXACT_ACTIVATIONS,
    RTOL,
    dot_bound,
    rounded,
    smooth,
)

SHAPES: tuple[tuple[int, ...], ...] = (
    *((1, 1), (3, 1), (1, 17), (5, 16), (7, 33), (2, 3, 5, 17), (2, 4, 4, 100), (0, 9)),
    *((1000, 3), (37, 130), (1, 4099)),
)


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def _exact(expected: Any) -> Bounds:
    return dict.fromkeys(expected, 0.0)


@dataclass(frozen=True)
class ElementwiseCase:
    """An activation, forward and backward, or the sum of two arrays (kind "add")."""

    shape: tuple[int, ...]
    kind: str

    fills = FILLS

    @property
    def id(self) -> str:
        return f"elementwise-{self.kind}-{_name(self.shape)}"

    @property
    def ops(self) -> tuple[str, ...]:
        return ("add",) if self.kind == "add" else ("activation_forward", "activation_backward")

    @property
    def cost(self) -> int:
        return int(np.prod(self.shape))

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        x = values(rng, fill, self.shape, 9)
        if fill == "real":
            x *= 3
        other = values(rng, fill, self.shape, 9)
        if op == "add":
            return Problem(op, (x, other, Out("y", self.shape)), _exact)
        keywords = {"kind": self.kind, "negative_slope": NEGATIVE_SLOPE}
        exact = self.kind in EXACT_ACTIVATIONS
        forward = Problem(
            "activation_forward",
            (x, Out("y", self.shape)),
            _exact if exact else lambda e: {"y": smooth(e["y"])},
            keywords,
        )
        if op == "activation_forward":
            return forward
        saves_input = self.kind in ("silu", "hardswish")
        saved = x if saves_input else evaluate(reference, forward)["y"].astype(np.float32)

        def bounds(expected: Any) -> Bounds:
            # dy times a slope of at most 1.5: an absolute error of the slope grows with dy.
            return {"dx": RTOL * np.abs(expected["dx"]) + ATOL * np.maximum(np.abs(other), 1.0)}

        arguments = (other, saved, Out("dx", self.shape))
        return Problem(op, arguments, _exact if exact else bounds, keywords)


@dataclass(frozen=True)
class SoftmaxCase:
    """Softmax, its logarithm and their backwards over the last axis.

    spread multiplies the standard normal inputs, offset is added; masked makes some inputs -inf.
    """

    shape: tuple[int, ...]
    spread: float = 1.0
    offset: float = 0.0
    masked: bool = False

    fills = ("real",)
    ops = ("softmax_forward", "softmax_backward", "log_softmax_forward", "log_softmax_backward")

    @property
    def id(self) -> str:
        masked = "-masked" if self.masked else ""
        return f"softmax-{_name(self.shape)}-spread{self.spread}-offset{self.offset}{masked}"

    @property
    def cost(self) -> int:
        return int(np.prod(self.shape))

    def input(self, rng: np.random.Generator) -> NumpyArray:
        x = values(rng, "real", self.shape, 0)
        x *= np.float32(self.spread)
        x += np.float32(self.offset)
        if self.masked:
            hidden = rng.random(self.shape) < 0.4
            hidden[..., -1] = False
            x[hidden] = -np.inf
        return x

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        x = self.input(rng)
        kind = op.removesuffix("_forward").removesuffix("_backward")
        forward = Problem(
            f"{kind}_forward", (x, Out("y", self.shape)), lambda e: {"y": smooth(e["y"])}
        )
        if op == forward.op:
            return forward
        y = evaluate(reference, forward)["y"].astype(np.float32)
        dy = values(rng, fill, self.shape, 0)
        wide_y, wide_dy = y.astype(np.float64), np.abs(dy.astype(np.float64))
        length = self.shape[-1] + 4

        def softmax_bounds(_: Any) -> Bounds:
            size = wide_y * (wide_dy + (wide_dy * wide_y).sum(axis=-1, keepdims=True))
            # Products with a probability near 0 may fall below the smallest normal number.
            return {"dx": dot_bound(size, length) + np.finfo(np.float32).tiny}

        def log_softmax_bounds(_: Any) -> Bounds:
            size = wide_dy + np.exp(wide_y) * wide_dy.sum(axis=-1, keepdims=True)
            # exp(y) may itself be wrong by the smooth rule's share.
            total = np.abs(dy.astype(np.float64).sum(axis=-1, keepdims=True))
            return {"dx": dot_bound(size, length) + RTOL * np.exp(wide_y) * total}

        bounds = softmax_bounds if op == "softmax_backward" else log_softmax_bounds
        return Problem(op, (dy, y, Out("dx", self.shape)), bounds)


@dataclass(frozen=True)
class CrossEntropyCase:
    """softmax_cross_entropy on [rows, classes]."""

    inputs: SoftmaxCase
    label_smoothing: float = 0.0
    scale: float = 1.0

    fills = ("real",)
    ops = ("softmax_cross_entropy",)

    @property
    def id(self) -> str:
        return f"cross-entropy-{self.inputs.id}-ls{self.label_smoothing}-scale{self.scale}"

    @property
    def cost(self) -> int:
        return self.inputs.cost

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        rows, classes = self.inputs.shape
        logits = self.inputs.input(rng)
        labels = rng.integers(0, classes, rows)
        if self.inputs.masked:
            labels[::2] = classes - 1  # never masked; the others may cost infinitely much

        def bounds(expected: Any) -> Bounds:
            # scale * (p - target), two numbers in [0, 1]: the error is relative to their size.
            target = np.full((rows, classes), self.label_smoothing / classes)
            target[np.arange(rows), labels] += 1.0
            size = np.abs(expected["dlogits"]) + 2.0 * self.scale * target
            return {
                "losses": smooth(expected["losses"]),
                "dlogits": RTOL * size + ATOL * self.scale,
            }

        keywords = {"label_smoothing": self.label_smoothing, "scale": self.scale}
        outputs = (Out("losses", (rows,)), Out("dlogits", (rows, classes)))
        return Problem(op, (logits, labels, *outputs), bounds, keywords)


@dataclass(frozen=True)
class UpdateCase:
    """One optimizer step; `settings` are the op's keywords, sorted."""

    op: str
    size: int
    settings: tuple[tuple[str, Any], ...]
    velocity: bool = True

    fills = ("real",)

    @property
    def ops(self) -> tuple[str, ...]:
        return (self.op,)

    @property
    def id(self) -> str:
        settings = "-".join(f"{name}={value}" for name, value in self.settings)
        return f"{self.op}-{self.size}-{settings}"

    @property
    def cost(self) -> int:
        return self.size

    def problem(self, op: str, fill: str) -> Problem:
        rng = generator(self, op, fill)
        shape = (self.size,)
        param, grad, first, second = (values(rng, fill, shape, 0) for _ in range(4))
        keywords = dict(self.settings)
        decayed = np.abs(grad) + keywords["weight_decay"] * np.abs(param.astype(np.float64))
        if op == "sgd_update":
            velocity = Out("velocity", shape, start=first) if self.velocity else None
            mu, lr = keywords["momentum"], keywords["lr"]
            moved = mu * np.abs(first) * self.velocity + decayed

            def sgd_bounds(expected: Any) -> Bounds:
                size = np.abs(param) + lr * (decayed + moved)
                found = {"param": rounded(size, 8), "velocity": rounded(moved, 6)}
                return {name: found[name] for name in expected}

            sgd = (Out("param", shape, start=param), grad, velocity)
            return Problem(op, sgd, sgd_bounds, keywords)
        second = np.abs(second)
        beta1, beta2 = keywords["beta1"], keywords["beta2"]

        def adam_bounds(expected: Any) -> Bounds:
            gradient = np.abs(grad) if keywords["decoupled"] else decayed
            average = beta1 * np.abs(first) + (1 - beta1) * gradient
            square = beta2 * second + (1 - beta2) * gradient**2
            step = keywords["step"]
            root = np.sqrt(np.maximum(expected["exp_avg_sq"], 1e-30) / (1 - beta2**step))
            update = average / (1 - beta1**step) / (root + keywords["eps"])
            # A gradient that cancels against its weight decay leaves the square uncertain; the
            # step then changes in proportion, half as much as the square does.
            unsure = square / np.maximum(expected["exp_avg_sq"], 1e-30)
            return {
                "param": rounded(param, 6) + keywords["lr"] * RTOL * update * unsure,
                "exp_avg": RTOL * average,
                "exp_avg_sq": RTOL * square,
            }

        starts = {"param": param, "exp_avg": first, "exp_avg_sq": second}
        outs = {name: Out(name, shape, start=start) for name, start in starts.items()}
        arguments = (outs["param"], grad, outs["exp_avg"], outs["exp_avg_sq"])
        return Problem(op, arguments, adam_bounds, keywords)


def elementwise_cases() -> Iterator[ElementwiseCase]:
    for kind in (*ACTIVATIONS, "add"):
        for shape in SHAPES:
            yield ElementwiseCase(shape, kind)
    yield ElementwiseCase((3, 1021), "silu")


def softmax_cases() -> Iterator[SoftmaxCase]:
    for shape in SHAPES:
        yield SoftmaxCase(shape)
    for shape in ((6, 10), (5, 33)):
        yield SoftmaxCase(shape, spread=20.0)
        yield SoftmaxCase(shape, offset=-500.0)  # a maximum that starts at 0 would lose these
        yield SoftmaxCase(shape, offset=1e4)  # exp overflows unless the maximum is taken off
        yield SoftmaxCase(shape, masked=True)
    yield SoftmaxCase((3, 1000))
    yield SoftmaxCase((2, 520), masked=True)
    yield SoftmaxCase((3, 521), masked=True)
    yield SoftmaxCase((2, 4104), spread=20.0)
    yield SoftmaxCase((3, 257), offset=-500.0)


def cross_entropy_cases() -> Iterator[CrossEntropyCase]:
    flat = [case for case in softmax_cases() if len(case.shape) == 2]
    for number, inputs in enumerate(flat):
        scale = (1.0, 0.125, 1.0 / 7.0)[number % 3]
        yield CrossEntropyCase(inputs, scale=scale)
        if not inputs.masked:
            yield CrossEntropyCase(inputs, label_smoothing=0.1, scale=scale)


def update_cases() -> Iterator[UpdateCase]:
    for size in (1, 7, 16, 33, 1000):
        for momentum, nesterov, decay in ((0.0, False, 0.0), (0.9, False, 1e-2), (0.9, True, 0.1)):
            settings = {"lr": 0.1, "momentum": momentum, "nesterov": nesterov}
            settings["weight_decay"] = decay
            yield UpdateCase("sgd_update", size, tuple(settings.items()), velocity=momentum > 0)
        for step, decoupled, decay in ((1, False, 0.0), (3, False, 0.1), (1000, True, 0.1)):
            adam = {"step": step, "lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
            adam |= {"weight_decay": decay, "decoupled": decoupled}
            yield UpdateCase("adam_update", size, tuple(adam.items()))
