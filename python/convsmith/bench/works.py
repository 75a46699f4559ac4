"""The works of a network: its layers at a batch size, as calls of convsmith's ops."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from convsmith import ops
from convsmith.bench.layers import NETWORKS, OtherLayer, conv_layers, other_layers
from convsmith.bench.training_step import training_step
from convsmith.bench.work import Input, Inputs, Use, Work
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape, Resample2dShape

CONVOLUTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")

# Not networks: products of square and of skinny matrices; a step of `convsmith demo`.
MATRICES, DEMO = "matrices", "demo"
SOURCES = (*NETWORKS, MATRICES, DEMO)

_SQUARE = (1024, 1536, 2048)
_SKINNY = ((1, 4096, 4096), (16, 4096, 4096), (25088, 64, 64), (64, 64, 25088), (4096, 8, 4096))


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _work(
    op: str,
    geometry: str,
    use: Use,
    batch: int,
    inputs: Iterable[tuple[int, ...] | Input],
    run: Callable[..., Any],
    elements: int,
    **more: Any,
) -> Work:
    made = tuple(i if isinstance(i, Input) else Input(i) for i in inputs)
    more.setdefault("flop", 0)
    return Work(op, geometry, (use,), batch, made, lambda: run, elements=elements, **more)


def _conv(use: Use, shape: Conv2dShape) -> Iterator[Work]:
    s = shape
    geometry = (
        f"{_text(s.x_shape)} to {s.out_c}, {s.kernel_h}x{s.kernel_w} stride {s.stride_h} "
        f"padding {s.pad_top} groups {s.groups}"
    )
    x, weight, y = s.x_shape, s.weight_shape, s.y_shape
    elements = prod(x) + prod(weight) + prod(y)
    pairs = {CONVOLUTIONS[0]: (x, weight), CONVOLUTIONS[1]: (y, weight), CONVOLUTIONS[2]: (x, y)}
    for op, inputs in pairs.items():
        function = getattr(ops, op)

        def run(a: Any, b: Any, function: Any = function, **choices: Any) -> Any:
            return function(a, b, shape, **choices)

        yield _work(op, geometry, use, s.batch, inputs, run, elements, shape=s, flop=2 * shape.macs)


def _gemm(use: Use, batch: int, shape: GemmShape) -> Work:
    s = shape
    a = (s.gemm_k, s.gemm_m) if s.transpose_a else (s.gemm_m, s.gemm_k)
    b = (s.gemm_n, s.gemm_k) if s.transpose_b else (s.gemm_k, s.gemm_n)
    flags: dict[str, Any] = {"transpose_a": s.transpose_a, "transpose_b": s.transpose_b}
    letters = "".join("T" if flag else "N" for flag in flags.values())
    geometry = f"{s.gemm_m} x {s.gemm_n} x {s.gemm_k} {letters}"
    elements = prod(a) + prod(b) + prod(s.c_shape)
    run = partial(ops.gemm, **flags)
    return _work("gemm", geometry, use, batch, (a, b), run, elements, shape=s, flop=2 * s.macs)


def _linear(use: Use, batch: int, features: int, out: int) -> Iterator[Work]:
    """The three products of a Linear layer, skinny at a small batch."""
    for name, shape in (
        ("forward", GemmShape(batch, out, features, False, True)),
        ("backward_input", GemmShape(batch, features, out, False, False)),
        ("backward_weight", GemmShape(out, features, batch, True, False)),
    ):
        yield _gemm(replace(use, layer=f"{use.layer} {name}"), batch, shape)


def _pool(use: Use, kind: str, shape: Pool2dShape) -> Iterator[Work]:
    s = shape
    x, y = s.x_shape, s.y_shape
    geometry = f"{_text(x)}, {s.kernel_h}x{s.kernel_w} stride {s.stride_h} padding {s.pad_top}"
    elements = prod(x) + prod(y)
    make = partial(_work, geometry=geometry, use=use, batch=s.batch, elements=elements, shape=s)

    def with_argmax(inputs: Inputs) -> Inputs:
        dy, x = inputs
        return dy, ops.max_pool2d_forward(x, shape)[1]

    if kind == "max_pool2d":
        yield make(
            "max_pool2d_forward",
            inputs=(x,),
            run=lambda x: ops.max_pool2d_forward(x, shape)[0],
        )
        yield make(
            "max_pool2d_backward_input",
            inputs=(y, x),
            run=lambda dy, argmax: ops.max_pool2d_backward_input(dy, argmax, shape),
            prepare=with_argmax,
        )
        return
    yield make("avg_pool2d_forward", inputs=(x,), run=lambda x: ops.avg_pool2d_forward(x, shape))
    yield make(
        "avg_pool2d_backward_input",
        inputs=(y,),
        run=lambda dy: ops.avg_pool2d_backward_input(dy, shape),
    )


def _adaptive(use: Use, shape: Resample2dShape) -> Iterator[Work]:
    x, y = shape.x_shape, shape.y_shape
    geometry, elements = f"{_text(x)} to {shape.out_h}x{shape.out_w}", prod(x) + prod(y)
    for op, given in (
        ("adaptive_avg_pool2d_forward", x),
        ("adaptive_avg_pool2d_backward_input", y),
    ):
        run = partial(lambda a, function: function(a, shape), function=getattr(ops, op))
        yield _work(op, geometry, use, shape.batch, (given,), run, elements, shape=shape)


def _batch_norm(use: Use, x: tuple[int, ...]) -> Iterator[Work]:
    channel, geometry, eps = (x[-1],), _text(x), {"eps": 1e-5}
    variance = Input(channel, positive=True)
    make = partial(_work, geometry=geometry, use=use, batch=x[0], settings=eps)
    yield make(
        "batch_norm_forward",
        inputs=(x, channel, channel),
        run=partial(ops.batch_norm_forward, **eps),
        elements=2 * prod(x),
    )
    yield make(
        "batch_norm_backward",
        inputs=(x, x, channel, channel, variance),
        run=partial(ops.batch_norm_backward, **eps),
        elements=3 * prod(x),
    )


def _local_response_norm(use: Use, x: tuple[int, ...]) -> Iterator[Work]:
    settings: dict[str, Any] = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}
    make = partial(_work, geometry=_text(x), use=use, batch=x[0], settings=settings)
    forward = partial(ops.local_response_norm_forward, **settings)
    backward = partial(ops.local_response_norm_backward, **settings)
    yield make("local_response_norm_forward", inputs=(x,), run=forward, elements=2 * prod(x))
    yield make("local_response_norm_backward", inputs=(x, x), run=backward, elements=3 * prod(x))


def _relu(use: Use, x: tuple[int, ...]) -> Iterator[Work]:
    make = partial(_work, geometry=_text(x), use=use, batch=x[0])
    forward = partial(ops.activation_forward, kind="relu")
    backward = partial(ops.activation_backward, kind="relu")
    yield make("activation_forward", inputs=(x,), run=forward, elements=2 * prod(x))
    yield make("activation_backward", inputs=(x, x), run=backward, elements=3 * prod(x))


def _cross_entropy(use: Use, batch: int, classes: int) -> Work:
    labels = np.random.default_rng(0).integers(0, classes, batch)
    size = (batch, classes)

    def with_labels(inputs: Inputs) -> Inputs:
        (logits,) = inputs
        on_host = isinstance(logits, np.ndarray)
        return logits, labels if on_host else importlib.import_module("cupy").asarray(labels)

    return _work(
        "softmax_cross_entropy",
        _text(size),
        use,
        batch,
        (size,),
        ops.softmax_cross_entropy,
        2 * prod(size),
        settings={"labels": labels},
        prepare=with_labels,
    )


def _update(use: Use, size: int) -> Iterator[Work]:
    sgd: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False}
    adam: dict[str, Any] = {"step": 10, "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    adam |= {"weight_decay": 0.0, "decoupled": False}
    many = (size,)

    def sgd_run(param: Any, grad: Any, velocity: Any) -> Any:
        ops.sgd_update(param, grad, velocity, **sgd)
        return param, velocity

    def adam_run(param: Any, grad: Any, average: Any, square: Any) -> Any:
        ops.adam_update(param, grad, average, square, **adam)
        return param, average, square

    make = partial(_work, geometry=str(size), use=use, batch=1)
    yield make("sgd_update", inputs=[many] * 3, run=sgd_run, elements=5 * size, settings=sgd)
    four = (*[Input(many)] * 3, Input(many, positive=True))
    yield make("adam_update", inputs=four, run=adam_run, elements=7 * size, settings=adam)


def _other(layer: OtherLayer, batch: int) -> Iterator[Work]:
    use = Use(layer.network, layer.name, layer.count)
    x = (batch, layer.in_h, layer.in_w, layer.in_c)
    if layer.kind in ("max_pool2d", "avg_pool2d"):
        shape = Pool2dShape.infer(
            x, kernel=layer.kernel, stride=layer.stride, padding=layer.padding
        )
        yield from _pool(use, layer.kind, shape)
    elif layer.kind == "adaptive_avg_pool2d":
        yield from _adaptive(use, Resample2dShape.infer(x, layer.out))
    elif layer.kind == "batch_norm":
        yield from _batch_norm(use, x)
    elif layer.kind == "local_response_norm":
        yield from _local_response_norm(use, x)
    elif layer.kind == "relu":
        yield from _relu(use, x)
    elif layer.kind == "add":
        yield _work("add", _text(x), use, batch, (x, x), ops.add, 3 * prod(x))
    elif layer.kind == "linear":
        yield from _linear(use, batch, layer.in_c, layer.out)
    elif layer.kind == "softmax":
        yield _cross_entropy(use, batch, layer.in_c)
    elif layer.kind == "update":
        yield from _update(use, layer.in_c)
    else:
        raise ValueError(f"other_layers.csv: kind: got {layer.kind!r}")


def _of(source: str, batch: int) -> Iterator[Work]:
    if source == DEMO:
        yield training_step()
    elif source == MATRICES:
        square = [(n, n, n, a, b) for n in _SQUARE for a in (False, True) for b in (False, True)]
        for kind, sizes in (("square", square), ("skinny", [(*s, False, True) for s in _SKINNY])):
            for m, n, k, a, b in sizes:
                name = f"{kind} {m}x{n}x{k} {'NT'[a]}{'NT'[b]}"
                yield _gemm(Use(source, name, 1), 1, GemmShape(m, n, k, a, b))
    else:
        for layer in conv_layers(source):
            yield from _conv(Use(source, layer.name, layer.count), layer.shape(batch))
        for other in other_layers(source):
            yield from _other(other, batch)


def works(sources: Iterable[str], batches: Iterable[int]) -> list[Work]:
    """Every work of these sources, each geometry once, with all of its uses."""
    found: dict[tuple[str, str], Work] = {}
    for batch in batches:
        for source in sources:
            for work in _of(source, batch):
                key = (work.op, work.geometry)
                known = found.get(key)
                if known is None:
                    found[key] = work
                elif not set(work.uses) <= set(known.uses):
                    found[key] = replace(known, uses=known.uses + work.uses)
    return list(found.values())
