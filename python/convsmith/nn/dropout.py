"""Dropout."""

from __future__ import annotations

import numpy as np

from convsmith import random
from convsmith.arrays import Array
from convsmith.nn.device import like
from convsmith.nn.layer import Cache, Layer, need_cache


class Dropout(Layer):
    """In training, zeroes each element with probability p and scales the rest by 1 / (1 - p).

    Inference returns x itself. The masks come from the one global generator (convsmith.seed), which
    is NumPy's on every device. Source: Srivastava et al. 2014.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p: got {p}, wanted a probability, 0 to 1")
        self.p = float(p)
        self.describe(p)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        if not training:
            return x, None
        if self.p == 0:
            return x, (None,)
        scale = 1.0 / (1.0 - self.p) if self.p < 1 else 0.0
        drawn = random.generator().random(x.shape, dtype=np.float32)
        # The mask holds the scale already: one product each way.
        mask = like(np.multiply(drawn >= self.p, scale, dtype=x.dtype), x)
        return x * mask, (mask,)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        (mask,) = cache
        return dy if mask is None else dy * mask
