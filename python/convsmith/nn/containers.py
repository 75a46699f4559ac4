"""Layers made of layers: one after another, beside a shortcut, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import overload

from convsmith.arrays import Array
from convsmith.nn.layer import Cache, Layer, add_place, need_cache
from convsmith.nn.merge import concatenate_channels, split_channels
from convsmith.ops.elementwise import add


class Sequential(Layer):
    """Layers one after another, named "0", "1", ... or by the keys of a mapping, as in PyTorch.

    ``model[1]`` and ``model["conv1"]`` are layers, ``model[1:3]`` a Sequential of the same layers.
    """

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        self.layers: dict[str, Layer] = {}
        for given in layers:
            if isinstance(given, Mapping):
                for name, layer in given.items():
                    self.append(layer, name)
            else:
                self.append(given)

    def append(self, layer: Layer, name: str | None = None) -> Sequential:
        """Adds a layer at the end, named by its position unless a name is given."""
        check_layer("Sequential", layer)
        name = str(len(self.layers)) if name is None else name
        check_name("Sequential", name, self.layers)
        self.layers[name] = layer
        return self

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from self.layers.items()
        yield from self.attribute_layers(but="layers")

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers.values())

    @overload
    def __getitem__(self, key: int | str) -> Layer: ...
    @overload
    def __getitem__(self, key: slice) -> Sequential: ...
    def __getitem__(self, key: int | str | slice) -> Layer | Sequential:
        if isinstance(key, str):
            return self.layers[key]
        if isinstance(key, slice):
            return Sequential(dict(list(self.layers.items())[key]))
        return list(self.layers.values())[key]

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        caches = []
        for name, layer in self.layers.items():
            try:
                x, cache = layer.forward(x, training)
            except (ValueError, TypeError) as error:
                add_place(error, name, layer)
                raise
            if training:
                caches.append(cache)
        return x, (caches if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        layers = list(self.layers.values())
        # Without input_grad, nothing before the first layer with parameters needs a gradient.
        first = 0 if input_grad else _first_with_parameters(layers)
        for index in range(len(layers) - 1, first - 1, -1):
            dy = layers[index].backward(dy, cache[index], input_grad or index > first)
        return dy if input_grad else None


class Residual(Layer):
    """activation(body(x) + shortcut(x)); no shortcut means x itself (He et al. 2015).

    Children are named "body", "shortcut" and "activation".
    """

    def __init__(
        self, body: Layer, shortcut: Layer | None = None, activation: Layer | None = None
    ) -> None:
        for layer in (body, shortcut, activation):
            if layer is not None:
                check_layer("Residual", layer)
        self.body = body
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        y, body_cache = _forward_child("body", self.body, x, training)
        side, side_cache = x, None
        if self.shortcut is not None:
            side, side_cache = _forward_child("shortcut", self.shortcut, x, training)
        if y.shape != side.shape:
            raise ValueError(
                f"Residual: got {y.shape} from the body and {side.shape} from the shortcut for x "
                f"of shape {x.shape}, wanted one shape; give a shortcut that maps x to {y.shape}"
            )
        y = add(y, side)
        last_cache = None
        if self.activation is not None:
            y, last_cache = _forward_child("activation", self.activation, y, training)
        return y, ((body_cache, side_cache, last_cache) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        body_cache, side_cache, last_cache = cache
        if self.activation is not None:
            dy = self.activation.backward(dy, last_cache)
        dx = self.body.backward(dy, body_cache, input_grad)
        if self.shortcut is not None:
            dy = self.shortcut.backward(dy, side_cache, input_grad)
        return add(dx, dy) if input_grad else None


class Concat(Layer):
    """Branches applied to the same x, their results side by side in the channels.

    Children are named "0", "1", ... or by the keys of a mapping.
    """

    def __init__(self, *branches: Layer | Mapping[str, Layer]) -> None:
        self.branches = dict(Sequential(*branches).layers)
        if not self.branches:
            raise ValueError("Concat: got no branches, wanted at least one")

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from self.branches.items()
        yield from self.attribute_layers(but="branches")

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        results, caches = [], []
        for name, branch in self.branches.items():
            y, cache = _forward_child(name, branch, x, training)
            results.append(y)
            caches.append(cache)
        channels = [y.shape[-1] for y in results]
        y = concatenate_channels("Concat", results)
        return y, ((caches, channels) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        caches, channels = cache
        pieces = split_channels(dy, channels)
        dx: Array | None = None
        for branch, piece, branch_cache in zip(self.branches.values(), pieces, caches, strict=True):
            part = branch.backward(piece, branch_cache, input_grad)
            dx = part if dx is None else add(dx, part)
        return dx


def check_layer(name: str, layer: object) -> None:
    if not isinstance(layer, Layer):
        hint = "; call it to make one" if isinstance(layer, type) else ""
        raise TypeError(f"{name}: got {layer!r}, wanted a Layer{hint}")


def check_name(label: str, name: object, taken: Mapping[str, object]) -> None:
    """Names become parts of state keys: text without dots, each once."""
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{label}: name: got {name!r}, wanted text without a dot")
    if name in taken:
        raise ValueError(f"{label}: name: got {name!r} twice, wanted different names")


def _forward_child(name: str, layer: Layer, x: Array, training: bool) -> tuple[Array, Cache]:
    try:
        return layer.forward(x, training)
    except (ValueError, TypeError) as error:
        add_place(error, name, layer)
        raise


def _first_with_parameters(layers: list[Layer]) -> int:
    for index, layer in enumerate(layers):
        if next(layer.named_parameters(), None) is not None:
            return index
    return len(layers)
