"""Networks by name, each with the input it is made for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from convsmith.models.alexnet import alexnet
from convsmith.models.demo import demo_cnn
from convsmith.models.googlenet import auxiliary_cross_entropy, googlenet
from convsmith.models.resnet import resnet
from convsmith.models.vgg import vgg
from convsmith.nn.layer import Layer


@dataclass(frozen=True)
class Model:
    """build(classes=...) gives a fresh network; input_shape is (height, width, channels)."""

    build: Callable[..., Layer]
    input_shape: tuple[int, int, int]


_IMAGENET = (224, 224, 3)
MODELS = {
    "demo": Model(demo_cnn, (32, 32, 1)),
    "alexnet": Model(alexnet, _IMAGENET),
    **{f"vgg{depth}": Model(partial(vgg, depth), _IMAGENET) for depth in (11, 13, 16, 19)},
    **{
        f"vgg{depth}_bn": Model(partial(vgg, depth, batch_norm=True), _IMAGENET)
        for depth in (11, 13, 16, 19)
    },
    **{
        f"resnet{depth}": Model(partial(resnet, depth), _IMAGENET)
        for depth in (18, 34, 50, 101, 152)
    },
    "googlenet": Model(googlenet, _IMAGENET),
}


def find_model(name: str) -> Model:
    """The model of that name. Raises ValueError naming the models there are, near ones first."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3)
        known = ", ".join(dict.fromkeys((*near, *MODELS)))
        raise ValueError(f"model: got {name!r}, wanted one of {known}")
    return MODELS[name]


__all__ = [
    "MODELS",
    "Model",
    "alexnet",
    "auxiliary_cross_entropy",
    "demo_cnn",
    "find_model",
    "googlenet",
    "resnet",
    "vgg",
]
