"""Backends that are wrong in a chosen way, and `convsmith check` run on one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convsmith.backends import reference
from convsmith.testing import report
from convsmith.testing.cases import cases_for
from convsmith.testing.problem import Case, Out, Problem


class Planted:
    """The reference under another name, with one op replaced."""

    NAME = "planted"

    def __init__(self, op: str = "", fault: Callable[..., None] | None = None) -> None:
        self._op, self._fault = op, fault

    def __getattr__(self, name: str) -> Any:
        if name == self._op and self._fault is not None:
            return self._fault
        return getattr(reference, name)


def few(op: str, seed: int = 0) -> tuple[Case, ...]:
    """Every seventh case, for speed."""
    return cases_for(op)[3::7]


def command(monkeypatch: pytest.MonkeyPatch, backend: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    if backend is not None:
        monkeypatch.setattr(report, "_load", lambda names: ([backend], []))
    return report.run(parser.parse_args(words))


def richest(op: str) -> Problem:
    """A problem of `op` with all its outputs, those that may be left out as well."""
    problems = [case.problem(op, case.fills[0]) for case in cases_for(op)[:8]]
    return max(problems, key=lambda problem: len(problem.outputs))


def slightly_wrong(op: str, which: int) -> Callable[..., None]:
    """The reference's op, its output number `which` then off by one part in a thousand."""
    arguments = richest(op).arguments
    place = [n for n, a in enumerate(arguments) if isinstance(a, Out)][which]

    def wrong(*arguments: Any, **keywords: Any) -> None:
        getattr(reference, op)(*arguments, **keywords)
        out = arguments[place]
        if out is not None and out.size:
            last = out.reshape(-1)[-1:]
            last += 1 if out.dtype.kind != "f" else np.float32(1e-3) * np.maximum(np.abs(last), 1)

    return wrong


class Algorithms(Planted):
    """The reference with two algorithms, of which one forgets the last output channel."""

    def algorithms(self, op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
        return ("direct", "fft")

    def conv2d_forward(self, x: Any, w: Any, y: Any, s: Any, e: Any, *, algorithm: str) -> None:
        reference.conv2d_forward(x, w, y, s, e)
        if algorithm == "fft":
            y[..., -1] = 0
