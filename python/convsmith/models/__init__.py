"""Networks by name, each with the input it is made for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from convsmith.models.demo import demo_cnn
from convsmith.nn.layer import Layer


@dataclass(frozen=True)
class Model:
    """build() gives a fresh network; input_shape is (height, width, channels)."""

    build: Callable[[], Layer]
    input_shape: tuple[int, int, int]


MODELS = {"demo": Model(demo_cnn, (32, 32, 1))}


def find_model(name: str) -> Model:
    """The model of that name. Raises ValueError naming the models there are."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3) or list(MODELS)
        raise ValueError(f"model: got {name!r}, wanted one of {', '.join(near)}")
    return MODELS[name]


__all__ = ["MODELS", "Model", "demo_cnn", "find_model"]
