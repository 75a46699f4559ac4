"""`convsmith summary`: what a model is made of and what one pass through it costs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convsmith.models import MODELS, find_model
from convsmith.nn import Conv2d, ConvTranspose2d, Layer, Linear

DESCRIPTION = "Prints a model's layers with output shapes, parameters, multiply-adds and memory."


@dataclass(frozen=True)
class Row:
    """One call of one layer. macs: multiply-adds of the forward pass. y_bytes: its new output."""

    name: str
    layer: str
    y_shape: tuple[int, ...]
    parameters: int
    macs: int
    y_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=f"one of {', '.join(MODELS)}")
    parser.add_argument(
        "--input",
        nargs=3,
        type=int,
        metavar=("H", "W", "C"),
        help="height, width and channels of an image; default: what the model is made for",
    )
    parser.add_argument("--batch", type=int, default=1, help="images (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    model = find_model(args.model)
    shape = (args.batch, *(args.input or model.input_shape))
    if min(shape) < 1:
        raise ValueError(f"--input, --batch: got {shape}, wanted sizes of at least 1")
    print("\n".join(lines(args.model, shape, trace(model.build(), shape))))
    return 0


def trace(model: Layer, x_shape: tuple[int, ...]) -> list[Row]:
    """Runs the model once on zeros and returns a row per call of each innermost layer."""
    rows: list[Row] = []
    counted: set[int] = set()
    watched: list[Layer] = []

    def watch(name: str, layer: Layer) -> None:
        forward: Callable[..., Any] = layer.forward

        def traced(x: Any, training: bool = False) -> tuple[Any, Any]:
            y, cache = forward(x, training)
            own = [p for p in layer.parameters() if id(p) not in counted]
            counted.update(map(id, own))
            new = 0 if any(np.shares_memory(y, array) for array in _arrays(x)) else y.nbytes
            size = sum(parameter.size for parameter in own)
            rows.append(Row(name, repr(layer), y.shape, size, layer_macs(layer, x, y), new))
            return y, cache

        layer.forward = traced  # type: ignore[method-assign]
        watched.append(layer)

    for name, layer in model.named_layers():
        if next(layer.children(), None) is None:
            watch(name, layer)
    try:
        model.forward(np.zeros(x_shape, np.float32))
    finally:
        for layer in watched:
            del layer.forward  # the method of the class shows again
    return rows


def layer_macs(layer: Layer, x: Any, y: Any) -> int:
    """Multiply-adds of a forward pass; layers other than convolutions and Linear count as none."""
    if isinstance(layer, Linear):
        return int(y.size) * layer.in_features
    if isinstance(layer, (Conv2d, ConvTranspose2d)):
        # Each position of the output, or of a transposed one's input, meets every weight once.
        positions = y if isinstance(layer, Conv2d) else x
        return int(positions.size) // int(positions.shape[-1]) * layer.weight.size
    return 0


def _arrays(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def lines(name: str, x_shape: tuple[int, ...], rows: list[Row]) -> list[str]:
    """The table and its totals."""
    cells = [("name", "layer", "output", "parameters", "MACs", "memory")]
    for row in rows:
        cells.append(
            (
                row.name,
                row.layer,
                " x ".join(map(str, row.y_shape)),
                f"{row.parameters:,}" if row.parameters else "-",
                f"{row.macs:,}" if row.macs else "-",
                bytes_text(row.y_bytes) if row.y_bytes else "-",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    table = [
        "  ".join(
            text.ljust(width) if column < 3 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    rule = "-" * max(map(len, table))
    parameters = sum(row.parameters for row in rows)
    macs = sum(row.macs for row in rows)
    memory = sum(row.y_bytes for row in rows)
    return [
        f"{name}, input {' x '.join(map(str, x_shape))} (batch x height x width x channels)",
        "",
        table[0],
        rule,
        *table[1:],
        rule,
        f"parameters         {parameters:,} ({bytes_text(4 * parameters)} in float32)",
        f"multiply-adds      {macs:,} forward; a training step takes about three times as many",
        f"activation memory  {bytes_text(memory)}: what the layers write, all of it kept in "
        "training",
    ]


def bytes_text(count: int) -> str:
    """'36.4 KiB'."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):  # noqa: B007
        value /= 1024
        if value < 1024:
            break
    return f"{value:.1f} {unit}"
