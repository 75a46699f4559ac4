"""A directed acyclic graph of layers, for what Sequential, Residual and Concat cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convsmith.arrays import Array
from convsmith.nn.containers import check_layer, check_name
from convsmith.nn.layer import Cache, Layer, add_place, need_cache
from convsmith.nn.merge import Add, Concatenate
from convsmith.ops.elementwise import add


class Graph(Layer):
    """Named nodes, each a layer and the names of the nodes or inputs that feed it.

    >>> graph = Graph(
    ...     {
    ...         "left": (Conv2d(3, 8, 3, padding=1), "x"),
    ...         "right": (Conv2d(3, 8, 1), "x"),
    ...         "sum": (Add(), "left", "right"),
    ...     },
    ...     inputs="x",
    ...     outputs="sum",
    ... )

    Nodes may be given in any order, and one layer may be used in several nodes. A node of several
    inputs needs a layer that takes a tuple (Add, Concatenate). ``forward`` takes an array if the
    graph has one input, else a mapping {name: array}; it returns an array if there is one output,
    else a dict {name: array}; ``backward`` likewise, with gradients. Children are named by node.
    Raises ValueError for a cycle, an unknown name, or a node that feeds no output.
    """

    def __init__(
        self,
        nodes: Mapping[str, Sequence[Any]],
        *,
        inputs: str | Sequence[str],
        outputs: str | Sequence[str],
    ) -> None:
        self.inputs = _names("inputs", inputs)
        self.outputs = _names("outputs", outputs)
        self.nodes: dict[str, Layer] = {}
        self.feeds: dict[str, tuple[str, ...]] = {}
        for name, node in nodes.items():
            check_name("Graph", name, {input_name: None for input_name in self.inputs})
            if isinstance(node, (str, Layer)) or len(node) < 2:
                raise ValueError(
                    f'Graph: node "{name}": got {node!r}, wanted (layer, "input", ...)'
                )
            check_layer(f'Graph: node "{name}"', node[0])
            if isinstance(node[0], (Add, Concatenate)) and len(node) < 3:
                raise ValueError(
                    f'Graph: node "{name}": got one input for {node[0]!r}, wanted at least 2'
                )
            self.nodes[name] = node[0]
            self.feeds[name] = tuple(node[1:])
        self._check_names()
        self.order = self._sorted()

    def _check_names(self) -> None:
        known = {*self.inputs, *self.nodes}
        for name, feeds in self.feeds.items():
            for feed in feeds:
                if feed not in known:
                    raise ValueError(
                        f'Graph: node "{name}": got the unknown input {feed!r}, wanted one of '
                        f"{', '.join(sorted(known))}"
                    )
        used = {feed for feeds in self.feeds.values() for feed in feeds}
        for name in self.inputs:
            if name not in used:
                raise ValueError(f"Graph: inputs: {name!r} feeds no node")
        for name in self.outputs:
            if name not in self.nodes:
                raise ValueError(
                    f"Graph: outputs: got {name!r}, wanted one of {', '.join(sorted(self.nodes))}"
                )
        useful, waiting = set(self.inputs), list(self.outputs)
        while waiting:
            name = waiting.pop()
            if name not in useful:
                useful.add(name)
                waiting += self.feeds[name]
        idle = [name for name in self.nodes if name not in useful]
        if idle:
            raise ValueError(f"Graph: {', '.join(idle)}: feeds no output; remove or output it")

    def _sorted(self) -> list[str]:
        order: list[str] = []
        done = set(self.inputs)
        waiting = list(self.nodes)
        while waiting:
            ready = [name for name in waiting if done.issuperset(self.feeds[name])]
            if not ready:
                raise ValueError(f"Graph: a cycle goes through {', '.join(waiting)}")
            order += ready
            done.update(ready)
            waiting = [name for name in waiting if name not in done]
        return order

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from self.nodes.items()
        yield from self.attribute_layers(but="nodes")

    def forward(self, x: Any, training: bool = False) -> tuple[Any, Cache]:
        values: dict[str, Array] = self._by_name("x", x, self.inputs)
        caches: dict[str, Cache] = {}
        for name in self.order:
            layer, feeds = self.nodes[name], self.feeds[name]
            value = values[feeds[0]] if len(feeds) == 1 else tuple(values[f] for f in feeds)
            try:
                values[name], cache = layer.forward(value, training)
            except (ValueError, TypeError) as error:
                add_place(error, name, layer)
                raise
            if training:
                caches[name] = cache
        return _plain(values, self.outputs), (caches if training else None)

    def backward(self, dy: Any, cache: Cache, input_grad: bool = True) -> Any:
        need_cache(self, cache)
        grads: dict[str, Array] = self._by_name("dy", dy, self.outputs)
        needed = self._needs_gradient(input_grad)
        for name in reversed(self.order):
            if name not in needed:
                continue
            layer, feeds = self.nodes[name], self.feeds[name]
            wanted = any(feed in needed for feed in feeds)
            # Popped: whoever feeds on this node has come already, so the memory can go.
            dx = layer.backward(grads.pop(name), cache[name], wanted)
            if not wanted:
                continue
            for feed, part in zip(feeds, dx if len(feeds) > 1 else (dx,), strict=True):
                if feed in needed:
                    # Never in place: layers may hand one array to several inputs.
                    grads[feed] = add(grads[feed], part) if feed in grads else part
        return _plain(grads, self.inputs) if input_grad else None

    def _needs_gradient(self, input_grad: bool) -> set[str]:
        """The nodes with parameters at or above them; all, if the inputs want gradients."""
        if input_grad:
            return {*self.inputs, *self.nodes}
        needed: set[str] = set()
        for name in self.order:
            own = next(self.nodes[name].named_parameters(), None)
            if own is not None or any(feed in needed for feed in self.feeds[name]):
                needed.add(name)
        return needed

    def _by_name(self, what: str, given: Any, names: tuple[str, ...]) -> dict[str, Array]:
        if not isinstance(given, Mapping):
            if len(names) > 1:
                raise ValueError(
                    f"Graph: {what}: got one {type(given).__name__}, wanted a mapping with "
                    f"{', '.join(names)}"
                )
            return {names[0]: given}
        if set(given) != set(names):
            raise ValueError(
                f"Graph: {what}: got a mapping with {', '.join(map(str, given)) or 'nothing'}, "
                f"wanted {', '.join(names)}"
            )
        return dict(given)


def _names(what: str, names: str | Sequence[str]) -> tuple[str, ...]:
    found = (names,) if isinstance(names, str) else tuple(names)
    if not found or len(set(found)) != len(found):
        raise ValueError(f"Graph: {what}: got {names!r}, wanted one or more different names")
    return found


def _plain(values: dict[str, Array], names: tuple[str, ...]) -> Any:
    if len(names) == 1:
        return values[names[0]]
    return {name: values[name] for name in names}
