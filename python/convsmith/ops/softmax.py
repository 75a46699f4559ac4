"""Softmax and log-softmax over the last axis, and the loss built on them.

Arrays are C-contiguous and of one float dtype; the maximum is subtracted first, so no finite input
overflows. All raise ValueError for a wrong shape, value or memory layout, TypeError for a wrong
dtype or array type, before any work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convsmith.arrays import Array, wide_dtype
from convsmith.backends.table import mixed_kinds, row_of, select
from convsmith.ops import check


def softmax_forward(x: Array) -> Array:
    """y = exp(x) / sum(exp(x)); x is [..., C] with C >= 1."""
    op = "softmax_forward"
    dtype = check.floats(op, "x", x)
    check.channels_last(op, "x", x)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    backend.softmax_forward(x, y)
    return y


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y * (dy - sum(dy * y)), y being what softmax_forward returned."""
    op = "softmax_backward"
    dtype = check.floats(op, "dy", dy)
    check.channels_last(op, "dy", dy)
    check.like(op, "y", y, "dy", dy, dy.shape)
    backend = select(op, (dy,), dtype)
    dx = backend.empty(dy.shape, dtype)
    backend.softmax_backward(dy, y, dx)
    return dx


def log_softmax_forward(x: Array) -> Array:
    """y = x - log(sum(exp(x))); x is [..., C] with C >= 1."""
    op = "log_softmax_forward"
    dtype = check.floats(op, "x", x)
    check.channels_last(op, "x", x)
    backend = select(op, (x,), dtype)
    y = backend.empty(x.shape, dtype)
    backend.log_softmax_forward(x, y)
    return y


def log_softmax_backward(dy: Array, y: Array) -> Array:
    """dx = dy - exp(y) * sum(dy), y being what log_softmax_forward returned."""
    op = "log_softmax_backward"
    dtype = check.floats(op, "dy", dy)
    check.channels_last(op, "dy", dy)
    check.like(op, "y", y, "dy", dy, dy.shape)
    backend = select(op, (dy,), dtype)
    dx = backend.empty(dy.shape, dtype)
    backend.log_softmax_backward(dy, y, dx)
    return dx


def softmax_cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0, scale: float = 1.0
) -> tuple[Array, Array]:
    """(losses [rows], dlogits [rows, classes]) of logits [rows, classes].

    labels [rows] are integers of any width in [0, classes); they are converted to int64. Losses
    of 16-bit logits are float32.
    losses[r] = -sum over c of target[r, c] * log_softmax(logits)[r, c], where target is
    (1 - label_smoothing) at the label plus label_smoothing / classes everywhere, as in PyTorch.
    dlogits = scale * (softmax(logits) - target): scale = 1 / rows gives the mean's gradient.
    """
    op = "softmax_cross_entropy"
    dtype = check.floats(op, "logits", logits)
    if logits.ndim != 2:
        raise check.bad_shape(op, "logits", logits.shape, "2 dimensions [rows, classes]")
    classes = check.channels_last(op, "logits", logits)
    labels = _as_labels(op, labels, logits, classes)
    label_smoothing = check.number(op, "label_smoothing", label_smoothing, least=0, most=1)
    scale = check.number(op, "scale", scale)
    backend = select(op, (logits,), dtype)
    losses = backend.empty((logits.shape[0],), wide_dtype(dtype))
    dlogits = backend.empty(logits.shape, dtype)
    backend.softmax_cross_entropy(
        logits, labels, losses, dlogits, label_smoothing=label_smoothing, scale=scale
    )
    return losses, dlogits


def _as_labels(op: str, labels: Array, logits: Array, classes: int) -> Any:
    if type(labels) is not type(logits):
        row_of(op, "labels", labels)
        raise mixed_kinds(op, "labels", labels, "logits", logits)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{op}: labels: got dtype {labels.dtype}, wanted integers: the index of the right "
            "class in each row; convert one-hot rows with .argmax(-1)"
        )
    check.has_shape(op, "labels", labels, (logits.shape[0],))
    labels = labels.astype(np.int64, order="C", copy=False)
    if not labels.size:
        return labels
    # Seen as unsigned, a negative label is a huge one: one reduction finds both kinds of error.
    if int(labels.view(np.uint64).max()) >= classes:
        row = int(((labels < 0) | (labels >= classes)).argmax())
        raise ValueError(
            f"{op}: labels: got {int(labels[row])} in row {row}, wanted 0 to {classes - 1}, since "
            f"logits have {classes} classes"
        )
    return labels
