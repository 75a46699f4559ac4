"""ResNet with 18 to 152 layers, with the state keys of torchvision.

Source: He et al. 2015, arXiv:1512.03385; the stride of a bottleneck lies in its 3x3 convolution,
as in torchvision ("version 1.5").
"""

from __future__ import annotations

from collections.abc import Iterator

from convsmith.nn import (
    BatchNorm2d,
    Conv2d,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    init,
)

# Blocks of each stage, and whether they are bottlenecks.
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
_EXPANSION = 4  # of a bottleneck's last convolution


class Block(Residual):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, beside a shortcut.

    Its children are those of the body, and "downsample" where the shortcut is a convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, bottleneck: bool) -> None:
        out_channels = channels * _EXPANSION if bottleneck else channels
        body: dict[str, Layer] = {}

        def add(inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
            number = len(body) // 3 + 1
            body[f"conv{number}"] = _convolution(inputs, outputs, kernel, stride)
            body[f"bn{number}"] = BatchNorm2d(outputs)
            body[f"relu{number}"] = ReLU()

        if bottleneck:
            add(in_channels, channels, 1)
            add(channels, channels, 3, stride)
            add(channels, out_channels, 1)
        else:
            add(in_channels, channels, 3, stride)
            add(channels, out_channels, 3)
        last = body.popitem()[1]
        shortcut = None
        if stride != 1 or in_channels != out_channels:
            shortcut = Sequential(
                _convolution(in_channels, out_channels, 1, stride), BatchNorm2d(out_channels)
            )
        super().__init__(Sequential(body), shortcut, last)

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from self.body.children()
        if self.shortcut is not None:
            yield "downsample", self.shortcut


def resnet(depth: int, classes: int = 1000, *, in_channels: int = 3, width: int = 64) -> Sequential:
    """Takes [N, H, W, in_channels], made for 224 x 224, and gives logits [N, classes].

    width: channels of the first stage's 3x3 convolutions; each stage doubles them. Raises
    ValueError for a depth other than 18, 34, 50, 101 and 152.
    """
    if depth not in _STAGES:
        raise ValueError(
            f"resnet: depth: got {depth}, wanted one of {', '.join(map(str, _STAGES))}"
        )
    stages, bottleneck = _STAGES[depth]
    layers: dict[str, Layer] = {
        "conv1": _convolution(in_channels, width, 7, 2),
        "bn1": BatchNorm2d(width),
        "relu": ReLU(),
        "maxpool": MaxPool2d(3, 2, padding=1),
    }
    channels = width
    for stage, blocks in enumerate(stages):
        made = Sequential()
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            made.append(Block(channels, width * 2**stage, stride, bottleneck))
            channels = width * 2**stage * (_EXPANSION if bottleneck else 1)
        layers[f"layer{stage + 1}"] = made
    layers["avgpool"] = GlobalAvgPool2d()
    layers["fc"] = Linear(channels, classes)
    return Sequential(layers)


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int) -> Conv2d:
    made = Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    init.kaiming_normal(made.weight, mode="fan_out")
    return made
