"""Losses: ``loss(prediction, target) -> (value, gradient by the prediction)``.

The value is a Python float, the mean over rows or elements; the gradient has the prediction's
shape and dtype and goes into ``model.backward``.
"""

from __future__ import annotations

import numpy as np

from convsmith.arrays import Array
from convsmith.backends.table import row_of
from convsmith.ops.softmax import softmax_cross_entropy


def cross_entropy(
    logits: Array, labels: Array, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean of -log softmax(logits)[label] over rows; (loss, dlogits).

    logits [..., classes], before any softmax; labels are integers [...], each in [0, classes).
    With label_smoothing s, the target gives 1 - s to the label and s / classes to every class
    (Szegedy et al. 2015, arXiv:1512.00567). Raises ValueError for shapes that do not match, no
    rows, or a label out of range; TypeError for labels that are no integers.
    """
    row_of("cross_entropy", "logits", logits)
    shape = logits.shape
    if not hasattr(labels, "shape"):
        raise TypeError(
            f"cross_entropy: labels: got a {type(labels).__name__}, wanted an array of integers"
        )
    if len(shape) < 2 or labels.shape != shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels: got shape {labels.shape} for logits of shape {shape}, wanted "
            f"{shape[:-1]}: one class index per row of logits [..., classes]"
        )
    rows = int(labels.size)
    _check_some("cross_entropy", rows)
    losses, dlogits = softmax_cross_entropy(
        logits if len(shape) == 2 else logits.reshape(rows, shape[-1]),
        labels if len(shape) == 2 else labels.reshape(rows),
        label_smoothing=label_smoothing,
        scale=1.0 / rows,
    )
    return float(losses.sum(dtype=np.float64)) / rows, dlogits.reshape(shape)


def mse_loss(prediction: Array, target: Array) -> tuple[float, Array]:
    """Mean of (prediction - target)^2 over all elements; (loss, dprediction).

    Both have the same shape. Raises ValueError otherwise, or if they are empty.
    """
    _check_same("mse_loss", prediction, target)
    difference = prediction - target
    loss = float(np.square(difference).sum(dtype=np.float64)) / difference.size
    difference *= 2.0 / difference.size
    return loss, difference.astype(prediction.dtype, copy=False)


def binary_cross_entropy_with_logits(logits: Array, target: Array) -> tuple[float, Array]:
    """Mean of -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)) over all elements; (loss, dlogits).

    target has the shape of logits and lies in [0, 1], else ValueError. Computed as
    max(x, 0) - x t + log(1 + exp(-|x|)), which overflows for no x. Raises as mse_loss.
    """
    _check_same("binary_cross_entropy_with_logits", logits, target)
    if not (float(target.min()) >= 0 and float(target.max()) <= 1):
        raise ValueError(
            f"binary_cross_entropy_with_logits: target: got {float(target.min()):g} to "
            f"{float(target.max()):g}, wanted values from 0 to 1"
        )
    target = target.astype(logits.dtype, copy=False)
    small = np.exp(-np.abs(logits))
    losses = np.maximum(logits, 0) - logits * target + np.log1p(small)
    sigmoid = np.where(logits >= 0, 1, small) / (1 + small)
    dlogits = (sigmoid - target) * (1.0 / logits.size)
    return float(losses.sum(dtype=np.float64)) / logits.size, dlogits


def _check_same(name: str, prediction: Array, target: Array) -> None:
    row_of(name, "prediction", prediction)
    row_of(name, "target", target)
    if prediction.shape != target.shape:
        raise ValueError(
            f"{name}: target: got shape {target.shape}, wanted that of the prediction, "
            f"{prediction.shape}"
        )
    _check_some(name, prediction.size)


def _check_some(name: str, size: int) -> None:
    if size == 0:
        raise ValueError(f"{name}: got no elements, and a mean needs at least one")
