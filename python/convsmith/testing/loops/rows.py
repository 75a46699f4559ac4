"""Ops along or across channels [..., C]: normalisation, softmax, cross-entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _rows(array: Array) -> list[list[float]]:
    flat: list[list[float]] = array.reshape(-1, array.shape[-1]).astype(float).tolist()
    return flat


def _store(rows: list[list[float]], out: Array) -> None:
    for index, value in zip(np.ndindex(out.shape), (v for row in rows for v in row), strict=True):
        out[index] = value


def batch_norm_forward(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float
) -> None:
    rows = _rows(x)
    for c in range(x.shape[-1]):
        column = [row[c] for row in rows]
        centre = math.fsum(column) / len(column)
        spread = math.fsum((v - centre) ** 2 for v in column) / len(column)
        mean[c], var[c] = centre, spread
        for row in rows:
            row[c] = float(gamma[c]) * (row[c] - centre) / math.sqrt(spread + eps) + float(beta[c])
    _store(rows, y)


def batch_norm_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    # The chain rule in the order of the original paper (page 4): through the variance, then
    # through the mean, then directly.
    gradient, values = _rows(dy), _rows(x)
    count = len(values)
    for c in range(x.shape[-1]):
        centre, scale = float(mean[c]), 1.0 / math.sqrt(float(var[c]) + eps)
        dhat = [g[c] * float(gamma[c]) for g in gradient]
        away = [v[c] - centre for v in values]
        dvar = math.fsum(d * a for d, a in zip(dhat, away, strict=True)) * -0.5 * scale**3
        dmean = -scale * math.fsum(dhat)
        dgamma[c] = math.fsum(g[c] * a * scale for g, a in zip(gradient, away, strict=True))
        dbeta[c] = math.fsum(g[c] for g in gradient)
        for r in range(count):
            gradient[r][c] = dhat[r] * scale + dvar * 2.0 * away[r] / count + dmean / count
    _store(gradient, dx)


def batch_norm_inference_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float
) -> None:
    for index in np.ndindex(x.shape):
        c = index[-1]
        normalised = (float(x[index]) - float(mean[c])) / math.sqrt(float(var[c]) + eps)
        y[index] = float(gamma[c]) * normalised + float(beta[c])


def batch_norm_inference_backward(
    dy: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    *,
    eps: float,
) -> None:
    dgamma[...] = 0.0
    dbeta[...] = 0.0
    for index in np.ndindex(x.shape):
        c = index[-1]
        deviation = math.sqrt(float(var[c]) + eps)
        gradient = float(dy[index])
        dx[index] = gradient * float(gamma[c]) / deviation
        dgamma[c] += gradient * (float(x[index]) - float(mean[c])) / deviation
        dbeta[c] += gradient


def _neighbours(c: int, channels: int, size: int) -> range:
    return range(max(0, c - size // 2), min(channels, c + (size - 1) // 2 + 1))


def _base(row: list[float], c: int, size: int, alpha: float, k: float) -> float:
    return k + alpha / size * sum(row[n] ** 2 for n in _neighbours(c, len(row), size))


def local_response_norm_forward(
    x: Array, y: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    rows = _rows(x)
    made = [
        [value / _base(row, c, size, alpha, k) ** beta for c, value in enumerate(row)]
        for row in rows
    ]
    _store(made, y)


def local_response_norm_backward(
    dy: Array, x: Array, dx: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    made = []
    for gradient, row in zip(_rows(dy), _rows(x), strict=True):
        total = [0.0] * len(row)
        for c, value in enumerate(row):
            base = _base(row, c, size, alpha, k)
            total[c] += gradient[c] / base**beta
            for n in _neighbours(c, len(row), size):  # dy[c]/dx[n] through the denominator
                dbase = alpha / size * 2.0 * row[n]
                total[n] += gradient[c] * value * -beta * base ** (-beta - 1.0) * dbase
        made.append(total)
    _store(made, dx)


def _log_softmax(row: list[float]) -> list[float]:
    top = max(row)
    total = math.fsum(math.exp(v - top) for v in row)
    return [v - top - math.log(total) for v in row]


def softmax_forward(x: Array, y: Array) -> None:
    _store([[math.exp(v) for v in _log_softmax(row)] for row in _rows(x)], y)


def softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    made = []
    for gradient, row in zip(_rows(dy), _rows(y), strict=True):
        size = len(row)
        # The whole Jacobian: dy_i/dx_j = y_i (i == j) - y_i y_j.
        made.append(
            [
                sum(gradient[i] * row[i] * ((i == j) - row[j]) for i in range(size))
                for j in range(size)
            ]
        )
    _store(made, dx)


def log_softmax_forward(x: Array, y: Array) -> None:
    _store([_log_softmax(row) for row in _rows(x)], y)


def log_softmax_backward(dy: Array, y: Array, dx: Array) -> None:
    made = []
    for gradient, row in zip(_rows(dy), _rows(y), strict=True):
        size = len(row)
        made.append(
            [
                sum(gradient[i] * ((i == j) - math.exp(row[j])) for i in range(size))
                for j in range(size)
            ]
        )
    _store(made, dx)


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    losses: Array,
    dlogits: Array,
    *,
    label_smoothing: float,
    scale: float,
) -> None:
    classes = logits.shape[-1]
    for r, row in enumerate(_rows(logits)):
        log_probability = _log_softmax(row)
        loss = 0.0
        for c in range(classes):
            target = label_smoothing / classes
            if c == labels[r]:
                target += 1.0 - label_smoothing
            if target != 0:
                loss -= target * log_probability[c]
            dlogits[r, c] = scale * (math.exp(log_probability[c]) - target)
        losses[r] = loss
