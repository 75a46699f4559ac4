"""What all optimizers share: their parameters, the learning rate, and a state to save."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from convsmith.arrays import Array, is_float, wide_dtype
from convsmith.nn.device import like
from convsmith.nn.layer import Parameter


class Optimizer:
    """Updates parameters in place from their gradients; those without a gradient are left alone.

    ``lr`` may be set at any time. A parameter stored in 16 bits is updated in a float32 copy, its
    "master", and rounded from it: most steps are smaller than the distance of two 16-bit numbers.
    Subclasses name their settings, and the arrays that they keep for each parameter
    (``slot_names()``), and define ``_update``.
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
            data, grad, slots = parameter.data, parameter.grad, self.slots[index]
            wide = wide_dtype(data.dtype)
            if wide != data.dtype:
                data, grad = _master(slots, data), grad.astype(wide)
            for name in self.slot_names():
                # Not only at the first step: SGD's momentum may be set between two of them.
                if name not in slots:
                    slots[name] = np.zeros_like(data)
            self._update(data, grad, slots, self.steps[index] + 1)
            if data is not parameter.data:
                parameter.data[...] = data
            self.steps[index] += 1  # last, so that a refused update does not count

    def _update(self, data: Array, grad: Array, slots: dict[str, Array], step: int) -> None:
        """Moves ``data`` in place; its slots have its shape and dtype."""
        raise NotImplementedError

    def _slots_of(self, parameter: Parameter) -> tuple[str, ...]:
        narrow = wide_dtype(parameter.dtype) != parameter.dtype
        return (*self.slot_names(), "master") if narrow else self.slot_names()

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
            parameter = self.parameters[index]
            for name in self._slots_of(parameter) if step > 0 else ():
                state[f"{name}.{index}"] = _slot(slots, name, parameter).copy()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what ``state_dict`` gave.

        The state's settings decide which slots it must have. Raises ValueError naming a bad
        setting, or every missing, unexpected, wrong-shaped or non-numeric entry; the optimizer is
        then unchanged.
        """
        count = len(self.parameters)
        before = {key: getattr(self, key) for key in self.setting_names}
        problems = [
            f"missing: {key}"
            for key in [*before, *(f"step.{i}" for i in range(count))]
            if key not in state
        ]
        try:
            # First the settings: which slots there must be depends on them (SGD's momentum).
            for key, old in before.items():
                if key in state:
                    setattr(self, key, self._setting(key, state[key], type(old)))
            self._check_settings()
            steps = [self._steps(i, state, problems) for i in range(count)]
            slots = self._slots(steps, state, problems)
            if problems:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: the state does not fit; nothing was "
                    "loaded:\n  " + "\n  ".join(problems)
                )
        except BaseException:
            for key, old in before.items():
                setattr(self, key, old)
            raise
        self.steps, self.slots = steps, slots

    def _setting(self, key: str, value: Any, kind: type) -> Any:
        # A state that comes back from a file holds arrays for numbers.
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind not in "fiub":
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: {key}: got {value!r}, wanted a number"
            )
        return kind(array[()])

    @staticmethod
    def _steps(index: int, state: Mapping[str, Any], problems: list[str]) -> int:
        key = f"step.{index}"
        array = np.asarray(state.get(key, 0))
        if array.shape == () and array.dtype.kind in "fiu" and array >= 0 and array % 1 == 0:
            return int(array)
        problems.append(f"{key}: got {state[key]!r}, wanted a whole number of 0 or more")
        return 0

    def _slots(
        self, steps: list[int], state: Mapping[str, Any], problems: list[str]
    ) -> list[dict[str, Array]]:
        """Copies of the slots in ``state``; what is wrong with it goes into ``problems``."""
        slots: list[dict[str, Array]] = [{} for _ in steps]
        known = {*self.setting_names, *(f"step.{i}" for i in range(len(steps)))}
        for i, parameter in enumerate(self.parameters):
            for slot in self._slots_of(parameter) if steps[i] > 0 else ():
                key = f"{slot}.{i}"
                known.add(key)
                if key not in state:
                    problems.append(f"missing: {key}")
                    continue
                given = state[key]
                if not hasattr(getattr(given, "dtype", None), "kind"):
                    given = np.asarray(given)
                if given.shape != parameter.shape:
                    problems.append(f"{key}: got shape {given.shape}, wanted {parameter.shape}")
                elif given.dtype.kind not in "iuf" and not is_float(given.dtype):
                    wanted = wide_dtype(parameter.dtype)
                    problems.append(f"{key}: got dtype {given.dtype}, wanted {wanted}")
                else:
                    slots[i][slot] = _zeros(parameter)
                    slots[i][slot][...] = like(given, parameter.data)
        problems += [f"unexpected: {key}" for key in state if key not in known]
        return slots

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


def _master(slots: dict[str, Array], data: Array) -> Array:
    """The float32 copy of a 16-bit parameter; a fresh one if others have changed the parameter."""
    master = slots.get("master")
    if master is None or not bool((master.astype(data.dtype) == data).all()):
        master = slots["master"] = data.astype(wide_dtype(data.dtype))
    return master


def _slot(slots: dict[str, Array], name: str, parameter: Parameter) -> Array:
    """What the next step would find: not there yet if SGD's momentum was set, or the parameter
    converted to 16 bits, since the last one."""
    if name in slots:
        return slots[name]
    return (
        parameter.data.astype(wide_dtype(parameter.dtype))
        if name == "master"
        else _zeros(parameter)
    )


def _zeros(parameter: Parameter) -> Array:
    """For a slot: of the parameter's shape and device, float32 at least."""
    return np.zeros_like(parameter.data, dtype=wide_dtype(parameter.dtype))
