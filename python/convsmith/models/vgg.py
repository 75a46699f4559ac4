"""VGG with 11 to 19 layers, with and without BatchNorm, with the state keys of torchvision.

Source: Simonyan and Zisserman 2014, arXiv:1409.1556.
"""

from __future__ import annotations

from itertools import pairwise

from convsmith.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    init,
)

# 3x3 convolutions of each stage; a 2x2 maximum follows each stage. A to E in the paper.
_STAGES = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_POOLED = 7


def vgg(
    depth: int,
    classes: int = 1000,
    *,
    batch_norm: bool = False,
    in_channels: int = 3,
    width: int = 64,
    hidden: int = 4096,
    dropout: float = 0.5,
) -> Sequential:
    """Takes [N, H, W, in_channels], made for 224 x 224, and gives logits [N, classes].

    width: channels of the first stage; the next three double them. hidden: units of the two hidden
    linear layers. Raises ValueError for a depth other than 11, 13, 16 and 19.
    """
    if depth not in _STAGES:
        raise ValueError(f"vgg: depth: got {depth}, wanted one of {', '.join(map(str, _STAGES))}")
    layers: list[Layer] = []
    channels = in_channels
    for stage, convolutions in enumerate(_STAGES[depth]):
        out_channels = width * 2 ** min(stage, 3)
        for _ in range(convolutions):
            convolution = Conv2d(channels, out_channels, 3, padding=1)
            init.kaiming_normal(convolution.weight, mode="fan_out")
            init.constant(convolution.bias, 0)
            layers += [convolution, *[BatchNorm2d(out_channels)] * batch_norm, ReLU()]
            channels = out_channels
        layers.append(MaxPool2d(2))
    sizes = (channels * _POOLED * _POOLED, hidden, hidden, classes)
    linear = [Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
    for layer in linear:
        init.normal(layer.weight, 0, 0.01)
        init.constant(layer.bias, 0)
    first, second, last = linear
    classifier = Sequential(first, ReLU(), Dropout(dropout), second, ReLU(), Dropout(dropout), last)
    return Sequential(
        {
            "features": Sequential(*layers),
            "avgpool": AdaptiveAvgPool2d(_POOLED),
            "flatten": Flatten(),
            "classifier": classifier,
        }
    )
