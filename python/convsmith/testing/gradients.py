"""Gradients against central differences, in float64 through the reference backend.

With f(x, parameters) = sum(r * layer(x)) for a fixed random r, ``layer.backward(r)`` must give
the gradient of f; (f(p + eps) - f(p - eps)) / (2 eps) says what it is, one element at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convsmith import random
from convsmith.arrays import Array
from convsmith.backends.table import use_backend
from convsmith.nn.device import to_host
from convsmith.nn.layer import Layer

Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class GradcheckReport:
    """How many elements were compared, and where the worst of them was."""

    checked: int
    worst_name: str
    worst_index: tuple[int, ...]
    worst_error: float  # |analytic - numeric| / (atol + rtol |numeric|); at most 1
    analytic: float
    numeric: float


@dataclass
class _Compare:
    eps: float
    atol: float
    rtol: float
    max_elements: int
    rng: np.random.Generator
    what: str
    report: GradcheckReport = GradcheckReport(0, "", (), 0.0, 0.0, 0.0)

    def __call__(
        self, name: str, array: Float64, grad: Float64, value: Callable[[], float]
    ) -> None:
        """Compares ``grad`` with the differences of ``value()`` as ``array`` is nudged."""
        _require(grad is not None, f"gradcheck: {self.what}: {name}: got no gradient")
        _require(
            grad.shape == array.shape,
            f"gradcheck: {self.what}: {name}: got a gradient of shape {grad.shape}, wanted "
            f"{array.shape}",
        )
        for index in self._indices(array.shape):
            kept = array[index]
            array[index] = kept + self.eps
            above = value()
            array[index] = kept - self.eps
            below = value()
            array[index] = kept
            numeric = (above - below) / (2 * self.eps)
            self._note(name, index, float(grad[index]), numeric)

    def _indices(self, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        size = int(np.prod(shape))
        chosen = (
            range(size)
            if size <= self.max_elements
            else np.sort(self.rng.choice(size, self.max_elements, replace=False))
        )
        for flat in chosen:
            yield tuple(int(i) for i in np.unravel_index(int(flat), shape))

    def _note(self, name: str, index: tuple[int, ...], analytic: float, numeric: float) -> None:
        error = abs(analytic - numeric) / (self.atol + self.rtol * abs(numeric))
        old = self.report
        # "not <=" so that a NaN is the worst there is.
        if not old.checked or not error <= old.worst_error:
            old = GradcheckReport(0, name, index, error, analytic, numeric)
        checked = self.report.checked + 1
        self.report = GradcheckReport(
            checked, old.worst_name, old.worst_index, old.worst_error, old.analytic, old.numeric
        )
        if not error <= 1:
            self.fail()

    def fail(self) -> None:
        worst = self.report
        raise AssertionError(
            f"gradcheck: {self.what}: {worst.worst_name}{list(worst.worst_index)}: backward gave "
            f"{worst.analytic:.10g}, central differences gave {worst.numeric:.10g} (atol "
            f"{self.atol}, rtol {self.rtol}; checked {worst.checked} elements)"
        )


def gradcheck(
    layer: Layer,
    x: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-8,
    rtol: float = 1e-4,
    seed: int = 0,
    max_elements: int = 64,
) -> GradcheckReport:
    """Checks dx and every parameter's gradient of ``layer`` at ``x``, in training mode.

    x is an array, or a tuple or mapping of arrays for a layer that takes those; it should keep
    clear of kinks (0 for ReLU, ties for max-pooling). Of a larger array, max_elements random
    elements are checked. Also checked: a second backward doubles the gradients, input_grad=False
    gives the same ones and returns None, and neither pass changes its inputs. The layer is copied
    to float64 first and itself left as it was; random layers draw the same numbers every time.

    Raises AssertionError naming parameter, index and both values, ValueError where there was
    nothing to check (an empty batch, max_elements=0); returns a report otherwise.
    """
    model = copy.deepcopy(layer).astype(np.float64)
    rng = np.random.default_rng(seed)
    inputs = _named("x", _float64(x))
    _check_some(inputs, max_elements)
    given = _rebuild(x, inputs)
    compare = _Compare(eps, atol, rtol, max_elements, rng, type(layer).__name__)
    with use_backend("reference"), _repeatable(seed) as restart:

        def forward() -> tuple[dict[str, Float64], Any, Any]:
            restart()
            y, cache = model.forward(given, training=True)
            # Copies: a result may be a view of the input that is about to be nudged.
            return {name: array.copy() for name, array in _named("y", y).items()}, y, cache

        before = {name: array.copy() for name, array in inputs.items()}
        results, y, cache = forward()
        projection = {name: rng.standard_normal(array.shape) for name, array in results.items()}
        dy = _rebuild(y, projection)
        kept = {name: array.copy() for name, array in projection.items()}

        dx = _named("x", model.backward(dy, cache))
        grads = {name: _copy(p.grad) for name, p in model.named_parameters()}
        again = _named("x", model.backward(dy, cache))
        twice = {name: _copy(p.grad) for name, p in model.named_parameters()}
        model.zero_grad()
        nothing = model.backward(dy, cache, input_grad=False)
        alone = {name: _copy(p.grad) for name, p in model.named_parameters()}

        what = f"gradcheck: {compare.what}"
        _require(nothing is None, f"{what}: backward(input_grad=False) did not return None")
        for name, array in inputs.items():
            _require(_close(array, before[name]), f"{what}: {name} was changed in place")
        for name, array in projection.items():
            _require(_close(array, kept[name]), f"{what}: d{name} was changed in place")
        for name in inputs:
            _require(_close(again[name], dx[name]), f"{what}: d{name} differs when asked again")
        for name, grad in grads.items():
            _require(grad is not None, f"{what}: {name}: got no gradient")
            _require(
                _close(twice[name], 2 * grad), f"{what}: {name}: a second backward did not add"
            )
            _require(_close(alone[name], grad), f"{what}: {name}: input_grad=False changed it")

        def value() -> float:
            now = forward()[0]
            # Differences of the results, not of their sum, keep what cancels small.
            return float(sum((projection[n] * (now[n] - results[n])).sum() for n in now))

        for name, array in inputs.items():
            compare(f"d{name}", array, dx[name], value)
        for name, parameter in model.named_parameters():
            compare(name, parameter.data, grads[name], value)
    return compare.report


def gradcheck_loss(
    loss: Callable[[Array, Array], tuple[float, Array]],
    prediction: Array,
    target: Array,
    *,
    eps: float = 1e-6,
    atol: float = 1e-8,
    rtol: float = 1e-4,
    seed: int = 0,
    max_elements: int = 64,
) -> GradcheckReport:
    """Checks the gradient of ``loss(prediction, target)`` by the prediction; as gradcheck."""
    values: Float64 = np.array(to_host(prediction), np.float64)
    _check_some({"prediction": values}, max_elements)
    target = to_host(target)
    if target.dtype.kind == "f":
        target = target.astype(np.float64)
    name = getattr(loss, "__name__", type(loss).__name__)
    compare = _Compare(eps, atol, rtol, max_elements, np.random.default_rng(seed), name)
    with use_backend("reference"):
        _, grad = loss(values, target)
        compare("dprediction", values, grad, lambda: loss(values, target)[0])
    return compare.report


class _repeatable:
    """Puts the global generator into one fixed state again and again, and back at the end."""

    def __init__(self, seed: int) -> None:
        self.fixed = np.random.default_rng(seed).bit_generator.state

    def __enter__(self) -> Callable[[], None]:
        self.before = random.generator().bit_generator.state
        return self._restart

    def _restart(self) -> None:
        random.generator().bit_generator.state = self.fixed

    def __exit__(self, *error: object) -> None:
        random.generator().bit_generator.state = self.before


def _float64(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _float64(array) for name, array in x.items()}
    if isinstance(x, (tuple, list)):
        return tuple(_float64(array) for array in x)
    return np.array(to_host(x), np.float64)


def _named(prefix: str, value: Any) -> dict[str, Float64]:
    """The arrays of an array, a tuple or a mapping, with names for messages."""
    if isinstance(value, Mapping):
        return {f"{prefix}.{name}": array for name, array in value.items()}
    if isinstance(value, (tuple, list)):
        return {f"{prefix}.{i}": array for i, array in enumerate(value)}
    return {prefix: value}


def _rebuild(like: Any, arrays: dict[str, Float64]) -> Any:
    """The inverse of ``_named``."""
    values = list(arrays.values())
    if isinstance(like, Mapping):
        return dict(zip(like, values, strict=True))
    return tuple(values) if isinstance(like, (tuple, list)) else values[0]


def _check_some(inputs: dict[str, Float64], max_elements: int) -> None:
    # Without one element every gradient is right, and the check says nothing.
    if max_elements < 1 or not any(array.size for array in inputs.values()):
        shapes = {name: array.shape for name, array in inputs.items()}
        raise ValueError(
            f"gradcheck: got shapes {shapes} and max_elements={max_elements}, which leaves "
            "nothing to check, wanted at least one element"
        )


def _copy(array: Array | None) -> Any:
    return None if array is None else array.copy()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _close(a: Any, b: Any) -> bool:
    """Equal but for the order of a few additions."""
    return a is not None and np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True)
