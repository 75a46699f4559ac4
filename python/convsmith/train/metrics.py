"""Metrics: ``metric(outputs, targets) -> float``, the mean over the rows of a batch."""

from __future__ import annotations

from convsmith.arrays import Array


def accuracy(outputs: Array, labels: Array) -> float:
    """The share of rows [..., classes] whose largest entry is at the label; ties take the first.

    A row with a NaN has no largest entry and is never right.
    """
    _check("accuracy", outputs, labels)
    largest = outputs.max(axis=-1)
    return float(((outputs.argmax(axis=-1) == labels) & (largest == largest)).mean())


def top_k_accuracy(outputs: Array, labels: Array, k: int = 5) -> float:
    """The share of rows in which fewer than k entries are larger than the label's.

    With ties, a label counts as found if any order of the equals puts it among the first k. A row
    whose label's entry is NaN is never found.
    """
    _check("top_k_accuracy", outputs, labels)
    classes = outputs.shape[-1]
    if not 1 <= k <= classes:
        raise ValueError(f"top_k_accuracy: k: got {k}, wanted 1 to {classes}, the classes")
    rows = outputs.reshape(-1, classes)
    flat = labels.reshape(-1)
    if int(flat.min()) < 0 or int(flat.max()) >= classes:
        raise ValueError(
            f"top_k_accuracy: labels: got {int(flat.min())} to {int(flat.max())}, wanted 0 to "
            f"{classes - 1}"
        )
    # A row of its own for every label: rows[i, flat[i]], on any device.
    own = rows.reshape(-1)[_arange_like(flat) * classes + flat]
    larger = (rows > own[:, None]).sum(axis=-1)
    return float(((larger < k) & (own == own)).mean())


def top_5_accuracy(outputs: Array, labels: Array) -> float:
    """``top_k_accuracy`` with k = 5."""
    return top_k_accuracy(outputs, labels, 5)


def _arange_like(array: Array) -> Array:
    """0, 1, 2, ... on the device of a vector."""
    return (array == array).cumsum() - 1


def _check(name: str, outputs: Array, labels: Array) -> None:
    if labels.shape != outputs.shape[:-1] or not labels.size:
        raise ValueError(
            f"{name}: labels: got shape {labels.shape} for outputs of shape {outputs.shape}, "
            f"wanted {outputs.shape[:-1]}, with at least one row"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels: got dtype {labels.dtype}, wanted integers")
