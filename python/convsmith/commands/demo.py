"""`convsmith demo`: a small network learns to read real digits, on whatever this machine has."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np

import convsmith
from convsmith.backends.table import use_backend, which_backend, why_not
from convsmith.commands import env, figures
from convsmith.data import load_digits
from convsmith.io import save_weights
from convsmith.models import demo_cnn
from convsmith.ops.softmax import softmax_forward
from convsmith.optim import Adam
from convsmith.testing.report import backend_names
from convsmith.train import CSVLogger, Trainer

DESCRIPTION = (
    "Trains Conv(32, 3x3)-ReLU-MaxPool(2)-Conv(64, 3x3)-ReLU-MaxPool(2)-Flatten-Linear(10) on "
    "scikit-learn's 1,797 handwritten digits with Adam, evaluates it on digits that it has not "
    "seen, and saves curves, misread digits, history and weights."
)

_NEEDED = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=_count, default=10, help="passes over the training digits (%(default)s)")
    add("--batch-size", type=_count, default=64, help="digits per step (%(default)s)")
    add("--lr", type=float, default=1e-3, help="Adam's learning rate (%(default)s)")
    add("--seed", type=int, default=0, help="of weights and shuffling (%(default)s)")
    add("--out", type=Path, default=Path("demo_output"), help="folder to write (%(default)s)")
    add(
        "--backend",
        choices=("auto", *backend_names()),
        default="auto",
        help="which kernels to use; auto takes the best that can run here (%(default)s)",
    )
    add("--limit", type=_count, help="train on the first LIMIT digits only")
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
    model = demo_cnn()
    trainer = Trainer(model, Adam(model.parameters(), lr=args.lr))
    backend = which_backend("conv2d_forward", x_train)

    parameters = sum(parameter.size for parameter in model.parameters())
    size = " x ".join(map(str, x_train.shape[1:]))
    _say("machine", env.one_line())
    _say("backend", backend + _fallback_reason(backend, args.backend))
    _say("network", f"{parameters:,} parameters, input {size}")
    _say("data", f"{len(x_train):,} digits to train on, {len(x_test)} to test on")

    start = time.perf_counter()
    history = trainer.fit(
        x_train,
        y_train,
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation_data=(x_test, y_test),
        callbacks=[CSVLogger(args.out / "history.csv")],
        progress=not args.quiet,
    )
    wall = time.perf_counter() - start
    training = sum(history["seconds"])
    _say("training", f"{training:.1f} s ({wall:.1f} s with a test after each epoch)")

    logits = trainer.predict(x_test)
    result = trainer.evaluate(x_test, y_test)
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
    return f", which is slow; {first} is not available: {why_not(first)}"


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, wanted at least 1")
    return value
