"""Batch normalisation and local response normalisation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from convsmith.arrays import Array, wide_dtype
from convsmith.nn.layer import (
    Cache,
    Layer,
    Parameter,
    check_array,
    check_dtype,
    check_nhwc,
    need_cache,
    wrong_dtype,
)
from convsmith.ops.geometry import as_int, check_range
from convsmith.ops.norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference_backward,
    batch_norm_inference_forward,
    local_response_norm_backward,
    local_response_norm_forward,
)


class _BatchNorm(Layer):
    """y = (x - mean) / sqrt(var + eps) * weight + bias per channel, the last axis of x.

    Training takes mean and (biased) variance of the batch and updates running_mean and
    running_var, running = (1 - momentum) * running + momentum * batch, with the unbiased variance,
    as PyTorch; momentum=None averages over all batches seen. Inference takes the running ones; so
    does training while ``frozen`` is True. Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    buffer_names = ("running_mean", "running_var", "num_batches_tracked")
    keeps_float32 = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        name = type(self).__name__
        self.num_features = as_int(name, "num_features", num_features)
        check_range(name, "num_features", self.num_features, 1)
        if not (math.isfinite(eps) and eps > 0):
            raise ValueError(f"{name}: eps: got {eps}, wanted a positive number")
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"{name}: momentum: got {momentum}, wanted None or 0 to 1")
        dtype = wide_dtype(check_dtype(name, dtype))
        self.eps = float(eps)
        self.momentum = momentum
        self.frozen = False
        self.weight = Parameter(np.ones(self.num_features, dtype))
        self.bias = Parameter(np.zeros(self.num_features, dtype))
        self.running_mean: Array = np.zeros(self.num_features, dtype)
        self.running_var: Array = np.ones(self.num_features, dtype)
        self.num_batches_tracked: Array = np.zeros((), np.int64)
        self.describe(num_features, eps=(eps, 1e-5), momentum=(momentum, 0.1))

    def _check(self, x: Array) -> None:
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        self._check(x)
        if wide_dtype(x.dtype) != self.weight.dtype:
            raise wrong_dtype(self.label, x, self.weight)
        weight, bias = self.weight.data, self.bias.data
        if not training or self.frozen:
            mean, var = self.running_mean, self.running_var
            y = batch_norm_inference_forward(x, weight, bias, mean, var, eps=self.eps)
            # Copies: another batch may move the running statistics before backward.
            return y, ((x, mean.copy(), var.copy(), True) if training else None)
        values = x.size // self.num_features
        if values == 1:
            raise ValueError(
                f"{self.label}: x: got shape {x.shape}, one value per channel, wanted at least 2 "
                "to take a variance of in training; use a larger batch"
            )
        y, mean, var = batch_norm_forward(x, weight, bias, eps=self.eps)
        self._track(mean, var, values)
        return y, (x, mean, var, False)

    def _track(self, mean: Array, var: Array, values: int) -> None:
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / int(self.num_batches_tracked)
        self.running_mean *= 1.0 - momentum
        self.running_mean += momentum * mean
        self.running_var *= 1.0 - momentum
        self.running_var += (momentum * values / (values - 1)) * var

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        x, mean, var, frozen = cache
        step = batch_norm_inference_backward if frozen else batch_norm_backward
        dx, dweight, dbias = step(dy, x, self.weight.data, mean, var, eps=self.eps)
        self.weight.accumulate(dweight)
        self.bias.accumulate(dbias)
        return dx if input_grad else None


class BatchNorm2d(_BatchNorm):
    __doc__ = f"Batch normalisation of x [N, H, W, C].\n\n    {_BatchNorm.__doc__}"

    def _check(self, x: Array) -> None:
        check_nhwc(self.label, x, self.num_features)


class BatchNorm1d(_BatchNorm):
    __doc__ = f"Batch normalisation of x [N, C] or [N, L, C].\n\n    {_BatchNorm.__doc__}"

    def _check(self, x: Array) -> None:
        check_array(self.label, x)
        if len(x.shape) not in (2, 3) or x.shape[-1] != self.num_features:
            raise ValueError(
                f"{self.label}: x: got shape {x.shape}, wanted [batch, {self.num_features}] or "
                f"[batch, length, {self.num_features}]"
            )


class LocalResponseNorm(Layer):
    """y = x / (k + alpha / size * sum of x^2 over ``size`` channels around)^beta.

    As torch.nn.LocalResponseNorm, over the last axis of x. Source: Krizhevsky et al. 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = as_int("LocalResponseNorm", "size", size)
        check_range("LocalResponseNorm", "size", self.size, 1)
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            if not math.isfinite(value):
                raise ValueError(f"LocalResponseNorm: {name}: got {value}, wanted a finite number")
        self.alpha = float(alpha)
        self.beta = float(beta)
        self.k = float(k)
        self.describe(size, alpha=(alpha, 1e-4), beta=(beta, 0.75), k=(k, 1.0))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        y = local_response_norm_forward(
            x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k
        )
        return y, (x if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        return local_response_norm_backward(
            dy, cache, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k
        )
