"""A training step of the network of `convsmith demo`, from the same weights for everyone."""

from __future__ import annotations

from typing import Any

import numpy as np

from convsmith import nn, optim, random
from convsmith.bench.work import Input, Run, Use, Work

BATCH = 64
_X = (BATCH, 32, 32, 1)
# Multiply-adds forward of one image: two convolutions and the Linear layer.
_MACS = 30 * 30 * 32 * 9 + 13 * 13 * 64 * 9 * 32 + 2304 * 10


def labels() -> Any:
    return np.random.default_rng(0).integers(0, 10, BATCH)


def fresh_model() -> Any:
    """The demo's network with weights that are always the same."""
    from convsmith.models import demo_cnn

    random.seed(0)
    return demo_cnn()


def _start() -> Run:
    model: Any = None
    optimizer: Any = None
    targets = labels()

    def step(x: Any) -> Any:
        """The loss, and the first weights after the step.

        Their gradient comes through every layer's, and Adam's first step takes little more than
        its signs, which rounding hardly changes: so both can be held against the reference's step
        from the same weights. (PyTorch's gives the loss only.)
        """
        nonlocal model, optimizer
        if model is None:
            model = fresh_model().astype(str(x.dtype))
            optimizer = optim.Adam(model.parameters(), lr=1e-3)
        model.zero_grad()
        logits, cache = model.forward(x, training=True)
        loss, dlogits = nn.cross_entropy(logits, targets)
        model.backward(dlogits, cache, input_grad=False)
        optimizer.step()
        return np.asarray(loss), optimizer.parameters[0].data

    return step


def training_step() -> Work:
    # The gradients are two more convolutions each, but none with respect to the image.
    flop = 2 * BATCH * (3 * _MACS - 30 * 30 * 32 * 9)
    uses = (Use("demo", "training step", 1),)
    x = Input(_X)
    return Work("training_step", f"batch {BATCH}", uses, BATCH, (x,), _start, flop, BATCH * 32 * 32)
