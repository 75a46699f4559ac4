"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from convsmith.arrays import Array
from convsmith.nn.layer import Parameter
from convsmith.ops.optimizer import adam_update
from convsmith.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Kingma & Ba 2014, arXiv:1412.6980, as torch.optim.Adam; weight_decay is added to g.

    Raises ValueError for a setting out of range.
    """

    setting_names = ("lr", "beta1", "beta2", "eps", "weight_decay")
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.beta1, self.beta2 = (float(beta) for beta in betas)
        self.eps = float(eps)
        self.weight_decay = float(weight_decay)
        super().__init__(parameters, lr)
        self._check_settings()

    def _check_settings(self) -> None:
        self._below_1("betas[0]", self.beta1)
        self._below_1("betas[1]", self.beta2)
        self._at_least_0("eps", self.eps)
        self._at_least_0("weight_decay", self.weight_decay)

    def slot_names(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, data: Array, grad: Array, slots: dict[str, Array], step: int) -> None:
        adam_update(
            data,
            grad,
            slots["exp_avg"],
            slots["exp_avg_sq"],
            step=step,
            lr=self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decoupled=self.decoupled,
        )


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters alone: p -= lr weight_decay p.

    Loshchilov & Hutter 2017, arXiv:1711.05101, as torch.optim.AdamW.
    """

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)
