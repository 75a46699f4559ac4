"""The tables hold the networks: their known totals come out."""

from __future__ import annotations

import pytest

from convsmith.bench.layers import NETWORKS, conv_layers, other_layers

# Multiply-adds of one image in all convolutions, in 1e9, as the literature counts them.
_GIGAMACS = {
    "alexnet": 0.666,
    "vgg16": 15.35,
    "vgg19": 19.51,
    "resnet18": 1.813,
    "resnet50": 4.087,
    "googlenet": 1.58,
    "mobilenet": 0.569,
}


@pytest.mark.parametrize("network", NETWORKS)
def test_multiply_adds_of_the_whole_network(network: str) -> None:
    total = sum(layer.count * layer.shape(1).macs for layer in conv_layers(network)) / 1e9
    assert total == pytest.approx(_GIGAMACS[network], rel=0.02)


@pytest.mark.parametrize("network", NETWORKS)
def test_geometries_and_names_are_distinct(network: str) -> None:
    layers = list(conv_layers(network))
    assert len({layer.name for layer in layers}) == len(layers)
    assert len({layer.shape(1) for layer in layers}) == len(layers)
    assert all(layer.count >= 1 for layer in layers)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_other_layers_at_sizes_of_its_convolutions(network: str) -> None:
    planes = {(224, 3)}
    for conv in conv_layers(network):
        shape = conv.shape(1)
        planes |= {(conv.in_h, conv.in_c), (shape.out_h, shape.out_c)}
    kinds = set()
    for layer in other_layers(network):
        kinds.add(layer.kind)
        if layer.kind in ("batch_norm", "relu", "add"):
            assert (layer.in_h, layer.in_c) in planes, layer
    assert {"softmax", "relu"} <= kinds


def test_resnet50_normalises_every_convolution() -> None:
    convolutions = sum(layer.count for layer in conv_layers("resnet50"))
    norms = sum(layer.count for layer in other_layers("resnet50") if layer.kind == "batch_norm")
    assert convolutions == norms == 53
