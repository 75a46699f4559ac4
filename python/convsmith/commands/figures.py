"""The demo's two pictures. Figure is used without pyplot, so no display is ever looked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.arrays import Array
from convsmith.train import History

_TRAIN, _TEST = "#2a6f97", "#d1495b"
_MOST_DIGITS = 40
_COLUMNS = 8


def _figure(width: float, height: float) -> Any:
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(width, height), layout="constrained", facecolor="white"
    )
    importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def curves(history: History, title: str, path: Path) -> None:
    """Loss and accuracy per epoch, of the training and of the test digits."""
    figure = _figure(10, 4.2)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, 2)
    epochs = history["epoch"]
    panels = (("loss", "cross-entropy, log scale"), ("accuracy", "share of digits read right"))
    for axis, (name, label) in zip(axes, panels, strict=True):
        last = history[f"val_{name}"][-1]
        for key, colour, text in (
            (name, _TRAIN, "train (shifted digits, mean over the epoch)"),
            (f"val_{name}", _TEST, "test (after the epoch)"),
        ):
            axis.plot(epochs, history[key], "o-", color=colour, label=text, ms=4, lw=1.8)
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.set_title(name, loc="left", fontweight="bold")
        axis.set_title(f"test at the end {last:.4f}", loc="right", color=_TEST, fontsize=11)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    axes[0].set_yscale("log")
    figure.savefig(path, dpi=130)


def misread(x: Array, labels: Array, probabilities: Array, path: Path) -> None:
    """A sheet of the digits that were misread: what they are, what was read, how surely.

    x [N, H, W, 1], labels [N], probabilities [N, classes]. The surest mistakes come first.
    """
    predicted = probabilities.argmax(axis=-1)
    sure = probabilities.max(axis=-1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    shown = wrong[:_MOST_DIGITS]
    columns = min(_COLUMNS, max(len(shown), 4))
    rows = max(1, -(-len(shown) // columns))
    figure = _figure(1.35 * columns, 1.85 * rows + 0.4)
    some = f", the {len(shown)} surest mistakes" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(labels)} test digits misread{some}", fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for axis, index in zip(axes, shown, strict=False):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("#bbbbbb")
        axis.imshow(x[index, :, :, 0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(
            f"is {labels[index]}, read {predicted[index]}\n{100 * sure[index]:.0f}% sure",
            fontsize=9,
        )
    figure.savefig(path, dpi=130)
