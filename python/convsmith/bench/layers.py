"""The convolution layers of well-known networks, from conv_layers.csv beside this file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from convsmith.ops.shapes import Conv2dShape

NETWORKS = ("resnet50", "vgg19", "alexnet", "googlenet", "mobilenet")


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


def conv_layers(network: str | None = None) -> Iterator[ConvLayer]:
    """The layers of one network, or of all; a geometry that several share comes once."""
    text = (resources.files(__package__) / "conv_layers.csv").read_text()
    seen = set()
    for row in csv.DictReader(text.splitlines()):
        if network is not None and row["network"] != network:
            continue
        number = {key: int(value) for key, value in row.items() if key not in ("network", "layer")}
        geometry = tuple(value for key, value in number.items() if key != "count")
        if geometry in seen:
            continue
        seen.add(geometry)
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
