"""The layers of well-known networks, from the two tables beside this file.

conv_layers.csv: each distinct convolution. other_layers.csv: pools, normalisations, activations,
sums, Linear layers, the loss, and the number of parameters that an optimizer updates (not of
AlexNet and VGG, where checking it would take gigabytes).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from convsmith.ops.shapes import Conv2dShape

NETWORKS = ("alexnet", "vgg16", "vgg19", "resnet18", "resnet50", "googlenet", "mobilenet")


@dataclass(frozen=True)
class ConvLayer:
    """A layer as its network has it. count: how often the network has a layer of this geometry."""

    network: str
    name: str
    count: int
    in_h: int
    in_w: int
    in_c: int
    out_c: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def shape(self, batch: int) -> Conv2dShape:
        return Conv2dShape.infer(
            (batch, self.in_h, self.in_w, self.in_c),
            (self.out_c, *self.kernel, self.in_c // self.groups),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


@dataclass(frozen=True)
class OtherLayer:
    """kernel, stride and padding are a pool's; out is the size of an adaptive pool, or the
    features of a Linear layer."""

    network: str
    kind: str
    name: str
    count: int
    in_h: int
    in_w: int
    in_c: int
    kernel: int
    stride: int
    padding: int
    out: int


def _rows(table: str, network: str) -> Iterator[dict[str, str]]:
    text = (resources.files(__package__) / table).read_text()
    return (row for row in csv.DictReader(text.splitlines()) if row["network"] == network)


def conv_layers(network: str) -> Iterator[ConvLayer]:
    """The distinct convolutions of one network, in its order."""
    for row in _rows("conv_layers.csv", network):
        number = {key: int(value) for key, value in row.items() if key not in ("network", "layer")}
        yield ConvLayer(
            row["network"],
            row["layer"],
            number["count"],
            number["in_h"],
            number["in_w"],
            number["in_c"],
            number["out_c"],
            (number["kernel_h"], number["kernel_w"]),
            (number["stride_h"], number["stride_w"]),
            (number["pad_h"], number["pad_w"]),
            (number["dilation_h"], number["dilation_w"]),
            number["groups"],
        )


def other_layers(network: str) -> Iterator[OtherLayer]:
    """The layers of one network that are no convolutions."""
    for row in _rows("other_layers.csv", network):
        names = ("network", "kind", "layer")
        numbers = (int(value) for key, value in row.items() if key not in names)
        yield OtherLayer(row["network"], row["kind"], row["layer"], *numbers)
