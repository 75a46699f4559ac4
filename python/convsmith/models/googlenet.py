"""GoogLeNet (Inception v1) with BatchNorm, with the state keys of torchvision.

Source: Szegedy et al. 2014, arXiv:1409.4842. As in torchvision, the third branch's second
convolution is 3x3 where the paper has 5x5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from convsmith.arrays import Array
from convsmith.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Cache,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    cross_entropy,
    init,
)

# Channels of each module: the 1x1 branch; reduction and output of the second and the third
# branch; the projection after the pool.
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
_POOLS_AFTER = {
    "inception3b": ("maxpool3", 3),
    "inception4e": ("maxpool4", 2),
}
# Auxiliary classifiers and the modules that feed them.
_AUXILIARY = {"aux1": "inception4a", "aux2": "inception4d"}
AUXILIARY_WEIGHT = 0.3  # of an auxiliary classifier's loss, as in the paper


def googlenet(
    classes: int = 1000,
    *,
    in_channels: int = 3,
    aux: bool = False,
    dropout: float = 0.2,
    aux_dropout: float = 0.7,
) -> Layer:
    """Takes [N, H, W, in_channels], made for 224 x 224, and gives logits [N, classes].

    aux: with the two auxiliary classifiers, which published weights have. Training then gives
    {"fc": logits, "aux1": logits, "aux2": logits}, for ``auxiliary_cross_entropy``.
    """
    trunk: dict[str, Layer] = {
        "conv1": _convolution(in_channels, 64, 7, stride=2),
        "maxpool1": MaxPool2d(3, 2, ceil_mode=True),
        "conv2": _convolution(64, 64, 1),
        "conv3": _convolution(64, 192, 3),
        "maxpool2": MaxPool2d(3, 2, ceil_mode=True),
    }
    channels, widths = 192, {}
    for name, sizes in _MODULES.items():
        trunk[name] = _inception(channels, *sizes)
        channels = widths[name] = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        if name in _POOLS_AFTER:
            pool, kernel = _POOLS_AFTER[name]
            trunk[pool] = MaxPool2d(kernel, 2, ceil_mode=True)
    heads: dict[str, Layer] = {
        name: _auxiliary(widths[feed], classes, aux_dropout) for name, feed in _AUXILIARY.items()
    }
    top: dict[str, Layer] = {
        "avgpool": GlobalAvgPool2d(),
        "dropout": Dropout(dropout),
        "fc": _linear(channels, classes),
    }
    if not aux:
        return Sequential({**trunk, **top})
    return _WithAuxiliary(trunk, heads, top)


def auxiliary_cross_entropy(
    outputs: Mapping[str, Array], labels: Array, label_smoothing: float = 0.0
) -> tuple[float, dict[str, Array]]:
    """``cross_entropy`` of "fc" plus 0.3 of that of each other output; (loss, gradients)."""
    total, gradients = 0.0, {}
    for name, logits in outputs.items():
        weight = 1.0 if name == "fc" else AUXILIARY_WEIGHT
        loss, gradient = cross_entropy(logits, labels, label_smoothing)
        total += weight * loss
        gradients[name] = gradient if weight == 1.0 else gradient * gradient.dtype.type(weight)
    return total, gradients


class _WithAuxiliary(Layer):
    """Trains as a graph of three outputs; infers without the auxiliary classifiers."""

    def __init__(
        self, trunk: dict[str, Layer], heads: dict[str, Layer], top: dict[str, Layer]
    ) -> None:
        self.inference = Sequential({**trunk, **top})
        nodes: dict[str, tuple[Any, ...]] = {}
        before = "x"
        for name, layer in self.inference.layers.items():
            nodes[name] = (layer, before)
            before = name
        nodes |= {name: (head, _AUXILIARY[name]) for name, head in heads.items()}
        self.training = Graph(nodes, inputs="x", outputs=("fc", *heads))

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from self.training.children()

    def forward(self, x: Array, training: bool = False) -> tuple[Any, Cache]:
        return self.training.forward(x, True) if training else self.inference.forward(x)

    def backward(self, dy: Any, cache: Cache, input_grad: bool = True) -> Any:
        return self.training.backward(dy, cache, input_grad)


def _inception(
    in_channels: int, ones: int, reduce3: int, out3: int, reduce5: int, out5: int, pool: int
) -> Concat:
    return Concat(
        {
            "branch1": _convolution(in_channels, ones, 1),
            "branch2": Sequential(
                _convolution(in_channels, reduce3, 1), _convolution(reduce3, out3, 3)
            ),
            "branch3": Sequential(
                _convolution(in_channels, reduce5, 1), _convolution(reduce5, out5, 3)
            ),
            "branch4": Sequential(
                MaxPool2d(3, 1, padding=1, ceil_mode=True), _convolution(in_channels, pool, 1)
            ),
        }
    )


def _auxiliary(in_channels: int, classes: int, dropout: float) -> Sequential:
    return Sequential(
        {
            "avgpool": AdaptiveAvgPool2d(4),
            "conv": _convolution(in_channels, 128, 1),
            "flatten": Flatten(),
            "fc1": _linear(2048, 1024),
            "relu": ReLU(),
            "dropout": Dropout(dropout),
            "fc2": _linear(1024, classes),
        }
    )


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> Sequential:
    convolution = Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    init.trunc_normal(convolution.weight, 0, 0.01, -2, 2)
    return Sequential(
        {"conv": convolution, "bn": BatchNorm2d(out_channels, eps=1e-3), "relu": ReLU()}
    )


def _linear(in_features: int, out_features: int) -> Linear:
    made = Linear(in_features, out_features)
    init.trunc_normal(made.weight, 0, 0.01, -2, 2)
    return made
