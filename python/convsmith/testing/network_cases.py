"""The convolution layers of well-known networks as cases, at their real sizes."""

from __future__ import annotations

from collections.abc import Sequence

from convsmith.bench.layers import conv_layers
from convsmith.testing.conv2d_cases import Conv2dCase
from convsmith.testing.problem import Case


def network_cases(networks: Sequence[str], batch: int) -> tuple[Case, ...]:
    """Each geometry once, in the order of the networks."""
    unique: dict[str, Case] = {}
    for network in networks:
        for layer in conv_layers(network):
            case = Conv2dCase(layer.shape(batch))
            unique.setdefault(case.id, case)
    return tuple(unique.values())
