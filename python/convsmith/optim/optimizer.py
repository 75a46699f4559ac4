"""What all optimizers share: their parameters, the learning rate, and a state to save."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from convsmith.arrays import Array
from convsmith.nn.device import like
from convsmith.nn.layer import Parameter


class Optimizer:
    """Updates parameters in place from their gradients; those without a gradient are left alone.

    ``lr`` may be set at any time. Subclasses name their settings, and the arrays that they keep
    for each parameter (``slot_names()``), and define ``_update``.
    """

    setting_names: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self.parameters: list[Parameter] = []
        for parameter in parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"{type(self).__name__}: parameters: got a {type(parameter).__name__}, wanted "
                    "Parameters; pass model.parameters()"
                )
            if not any(parameter is known for known in self.parameters):
                self.parameters.append(parameter)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: parameters: got none; nothing to optimize")
        self.lr = lr
        # How often each parameter was updated, and its slots from the first update on.
        self.steps: list[int] = [0] * len(self.parameters)
        self.slots: list[dict[str, Array]] = [{} for _ in self.parameters]

    @property
    def lr(self) -> float:
        """The learning rate, 0 or more."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = self._at_least_0("lr", value)

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            self.steps[index] += 1
            slots = self.slots[index]
            if not slots:
                for name in self.slot_names():
                    slots[name] = np.zeros_like(parameter.data)
            self._update(parameter, slots, self.steps[index])

    def _update(self, parameter: Parameter, slots: dict[str, Array], step: int) -> None:
        raise NotImplementedError

    def slot_names(self) -> tuple[str, ...]:
        return ()

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on: settings, and per parameter "step.0", "exp_avg.0", ...

        Values are Python numbers and copies of arrays, in one flat dict.
        """
        state: dict[str, Any] = {name: getattr(self, name) for name in self.setting_names}
        for index, (step, slots) in enumerate(zip(self.steps, self.slots, strict=True)):
            state[f"step.{index}"] = step
            for name, array in slots.items():
                state[f"{name}.{index}"] = array.copy()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what ``state_dict`` gave.

        Raises ValueError naming every missing, unexpected or wrong-shaped entry and every bad
        setting; the optimizer is then unchanged.
        """
        name = type(self).__name__
        steps = [int(state.get(f"step.{i}", 0)) for i in range(len(self.parameters))]
        wanted = {*self.setting_names, *(f"step.{i}" for i in range(len(self.parameters)))}
        shapes = {
            f"{slot}.{i}": parameter.shape
            for i, parameter in enumerate(self.parameters)
            for slot in self.slot_names()
            if steps[i] > 0
        }
        wanted.update(shapes)
        problems = [f"missing: {key}" for key in sorted(wanted.difference(state))]
        problems += [f"unexpected: {key}" for key in state if key not in wanted]
        for key, shape in shapes.items():
            if key in state and np.shape(state[key]) != shape:
                problems.append(f"{key}: got shape {np.shape(state[key])}, wanted {shape}")
        if problems:
            raise ValueError(
                f"{name}.load_state_dict: the state does not fit; nothing was loaded:\n  "
                + "\n  ".join(problems)
            )
        before = {key: getattr(self, key) for key in self.setting_names}
        try:
            for key, old in before.items():
                setattr(self, key, type(old)(state[key]))
            self._check_settings()
        except (TypeError, ValueError):
            for key, old in before.items():
                setattr(self, key, old)
            raise
        self.steps = steps
        for i, parameter in enumerate(self.parameters):
            self.slots[i] = {}
            for slot in self.slot_names() if steps[i] > 0 else ():
                array = np.empty_like(parameter.data)
                array[...] = like(state[f"{slot}.{i}"], parameter.data)
                self.slots[i][slot] = array

    def _check_settings(self) -> None:
        """Raises ValueError for settings out of range."""

    def _at_least_0(self, name: str, value: float) -> float:
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f"{type(self).__name__}: {name}: got {value}, wanted a finite number of 0 or more"
            )
        return float(value)

    def _below_1(self, name: str, value: float) -> float:
        if not 0 <= value < 1:
            raise ValueError(
                f"{type(self).__name__}: {name}: got {value}, wanted at least 0 and less than 1"
            )
        return float(value)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self.setting_names)
        return f"{type(self).__name__}({settings})"
