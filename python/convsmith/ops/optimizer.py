"""One optimizer step on one parameter, in place.

Arrays have the parameter's shape and float dtype, C-contiguous; those that are updated must be
writeable. Both raise ValueError for a wrong shape, value or memory layout, TypeError for a wrong
dtype or array type, before anything is changed.
"""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.backends.table import select
from convsmith.ops import check


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """g = grad + weight_decay * param; v = momentum * v + g; param -= lr * v.

    With nesterov, param -= lr * (g + momentum * v). velocity is v, 0 before the first step, or
    None when momentum is 0. As torch.optim.SGD with dampening 0.
    """
    op = "sgd_update"
    dtype = check.floats(op, "param", param)
    check.writeable(op, "param", param)
    check.like(op, "grad", grad, "param", param, param.shape)
    lr = check.number(op, "lr", lr, least=0)
    momentum = check.number(op, "momentum", momentum, least=0)
    weight_decay = check.number(op, "weight_decay", weight_decay, least=0)
    if velocity is not None:
        check.like(op, "velocity", velocity, "param", param, param.shape)
        check.writeable(op, "velocity", velocity)
    elif momentum != 0:
        raise ValueError(
            f"{op}: velocity: got None with momentum {momentum}, wanted an array of param's "
            "shape, zero before the first step"
        )
    if nesterov and momentum == 0:
        raise ValueError(f"{op}: momentum: got 0 with nesterov, wanted more than 0")
    backend = select(op, (param,), dtype)
    backend.sgd_update(
        param,
        grad,
        velocity,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=bool(nesterov),
    )


def adam_update(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2; then
    param -= lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps).

    exp_avg is m and exp_avg_sq is v, both 0 before the first step; step counts from 1. g is
    grad + weight_decay * param, or with decoupled g is grad and param is first multiplied by
    1 - lr * weight_decay. As torch.optim.Adam and AdamW. Sources: arXiv:1412.6980, 1711.05101.
    """
    op = "adam_update"
    dtype = check.floats(op, "param", param)
    check.writeable(op, "param", param)
    check.like(op, "grad", grad, "param", param, param.shape)
    check.like(op, "exp_avg", exp_avg, "param", param, param.shape)
    check.writeable(op, "exp_avg", exp_avg)
    check.like(op, "exp_avg_sq", exp_avg_sq, "param", param, param.shape)
    check.writeable(op, "exp_avg_sq", exp_avg_sq)
    backend = select(op, (param,), dtype)
    backend.adam_update(
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        step=check.integer(op, "step", step, least=1),
        lr=check.number(op, "lr", lr, least=0),
        beta1=check.number(op, "beta1", beta1, least=0, below=1),
        beta2=check.number(op, "beta2", beta2, least=0, below=1),
        eps=check.number(op, "eps", eps, least=0),
        weight_decay=check.number(op, "weight_decay", weight_decay, least=0),
        decoupled=bool(decoupled),
    )
