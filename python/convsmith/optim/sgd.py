"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

from convsmith.arrays import Array
from convsmith.nn.layer import Parameter
from convsmith.ops.optimizer import sgd_update
from convsmith.optim.optimizer import Optimizer


class SGD(Optimizer):
    """g += weight_decay p; v = momentum v + g; p -= lr (g + momentum v if nesterov else v).

    As torch.optim.SGD with dampening 0. Raises ValueError for a setting out of range.
    """

    setting_names = ("lr", "momentum", "weight_decay", "nesterov")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum = float(momentum)
        self.weight_decay = float(weight_decay)
        self.nesterov = bool(nesterov)
        super().__init__(parameters, lr)
        self._check_settings()

    def _check_settings(self) -> None:
        self._at_least_0("momentum", self.momentum)
        self._at_least_0("weight_decay", self.weight_decay)
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov: got True, which needs a momentum of more than 0")

    def slot_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _update(self, data: Array, grad: Array, slots: dict[str, Array], step: int) -> None:
        sgd_update(
            data,
            grad,
            slots.get("velocity"),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )
