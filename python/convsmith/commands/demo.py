"""`convsmith demo`: a small network learns to read real digits, on whatever this machine has."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import convsmith
from convsmith import random
from convsmith.arrays import Array
from convsmith.backends.table import use_backend, which_backend, why_not
from convsmith.commands import env, figures
from convsmith.data import Batches, load_digits
from convsmith.io import save_weights
from convsmith.models import demo_cnn
from convsmith.ops.softmax import softmax_forward
from convsmith.optim import Adam
from convsmith.testing.report import backend_names
from convsmith.train import Callback, CSVLogger, Trainer

DESCRIPTION = (
    "Trains Conv(32, 3x3)-ReLU-MaxPool(2)-Conv(64, 3x3)-ReLU-MaxPool(2)-Flatten-Linear(10) on "
    "scikit-learn's 1,797 handwritten digits with Adam, evaluates it on digits that it has not "
    "seen, and saves curves, misread digits, history and weights."
)

# With so few digits the network would learn them by heart: each is shifted anew in every epoch.
_MOST_SHIFT = 2  # pixels of 32, half a pixel of the 8x8 originals

_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=_count, default=10, help="passes over the training digits (%(default)s)")
    add("--batch-size", type=_count, default=64, help="digits per step (%(default)s)")
    add("--lr", type=float, default=2e-3, help="Adam's first learning rate (%(default)s)")
    add("--seed", type=int, default=0, help="of weights, order and shifts (%(default)s)")
    add("--out", type=Path, default=Path("demo_output"), help="folder to write (%(default)s)")
    add(
        "--backend",
        choices=("auto", *backend_names()),
        default="auto",
        help="which kernels to use; auto takes the best that can run here (%(default)s)",
    )
    add("--limit", type=_count, help="train and test on the first LIMIT digits only")
    add("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    _check_extras()
    args.out.mkdir(parents=True, exist_ok=True)
    with contextlib.nullcontext() if args.backend == "auto" else use_backend(args.backend):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    convsmith.seed(args.seed)
    x_train, y_train, x_test, y_test = load_digits(size=32)
    x_train, y_train = x_train[: args.limit], y_train[: args.limit]
    x_test, y_test = x_test[: args.limit], y_test[: args.limit]
    mean, deviation = float(x_train.mean()), float(x_train.std())
    x_train, x_seen = (x_train - mean) / deviation, (x_test - mean) / deviation
    model = demo_cnn()
    trainer = Trainer(model, Adam(model.parameters(), lr=args.lr))
    backend = which_backend("conv2d_forward", x_train)

    parameters = sum(parameter.size for parameter in model.parameters())
    size = " x ".join(map(str, x_train.shape[1:]))
    _say("machine", env.one_line())
    _say("backend", backend + _fallback_reason(backend, args.backend))
    _say("network", f"{parameters:,} parameters, input {size}")
    _say(
        "data",
        f"{len(x_train):,} digits to train on, {len(x_test)} to test on; pixels less {mean:.3f}, "
        f"divided by {deviation:.3f}",
    )

    start = time.perf_counter()
    history = trainer.fit(
        Shifted(x_train, y_train, args.batch_size),
        epochs=args.epochs,
        validation_data=(x_seen, y_test),
        callbacks=[CosineDecay(args.lr, args.epochs), CSVLogger(args.out / "history.csv")],
        progress=not args.quiet,
    )
    wall = time.perf_counter() - start
    training = sum(history["seconds"])
    _say("training", f"{training:.1f} s ({wall:.1f} s with a test after each epoch)")

    logits = trainer.predict(x_seen)
    result = trainer.evaluate(x_seen, y_test)
    predicted = logits.argmax(axis=-1)
    misread = np.flatnonzero(predicted != y_test)
    _say(
        "test",
        f"accuracy {result['accuracy']:.4f} ({len(misread)} of {len(y_test)} misread), "
        f"loss {result['loss']:.4f}",
    )

    save_weights(model, args.out / "weights.npz")
    title = f"{args.epochs} epochs on {len(x_train):,} digits, {training:.1f} s, {backend}"
    figures.curves(history, title, args.out / "curves.png")
    figures.misread(
        x_test,
        y_test,
        softmax_forward(np.ascontiguousarray(logits)),
        args.out / "misread.png",
    )
    names = ("curves.png", "misread.png", "history.csv", "weights.npz")
    _say("saved", f"{', '.join(names)} in {args.out}")
    return 0


class Shifted:
    """Batches in a new order in every epoch, each image moved by up to two pixels both ways."""

    def __init__(self, x: Array, y: Array, batch_size: int) -> None:
        self.batches = Batches(x, y, batch_size=batch_size, shuffle=True)
        self.background = x.min(initial=0)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        border = (_MOST_SHIFT, _MOST_SHIFT)
        for x, y in self.batches:
            height, width = x.shape[1:3]
            wide = np.pad(x, ((0, 0), border, border, (0, 0)), constant_values=self.background)
            corners = random.generator().integers(0, 2 * _MOST_SHIFT + 1, (len(x), 2))
            for index, (top, left) in enumerate(corners):
                x[index] = wide[index, top : top + height, left : left + width]
            yield x, y


class CosineDecay(Callback):
    """Lowers the learning rate along half a cosine, epoch by epoch, from ``lr`` to nearly 0."""

    def __init__(self, lr: float, epochs: int) -> None:
        self.lr = lr
        self.epochs = epochs

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        assert trainer.optimizer is not None
        share = (epoch - 1) / self.epochs
        trainer.optimizer.lr = self.lr * 0.5 * (1 + math.cos(math.pi * share))


def _say(name: str, text: str) -> None:
    print(f"{name:<9} {text}", flush=True)


def _check_extras() -> None:
    """Missing packages are named before any work."""
    missing = [name for module, name in _NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ImportError(
            f'{" and ".join(missing)} cannot be found; install with: pip install "convsmith[demo]"'
        )


def _fallback_reason(backend: str, asked: str) -> str:
    first: Any = backend_names()[0]
    if asked != "auto" or backend == first:
        return ""
    reason = why_not(first) or "it does not support a convolution"
    return f", which is slow; why not {first}: {reason}"


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, wanted at least 1")
    return value
