"""The network of `convsmith demo`."""

from __future__ import annotations

from convsmith.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential


def demo_cnn(in_channels: int = 1, size: int = 32, classes: int = 10) -> Sequential:
    """Conv(32, 3x3)-ReLU-MaxPool(2)-Conv(64, 3x3)-ReLU-MaxPool(2)-Flatten-Linear(classes).

    Takes [N, size, size, in_channels] and gives logits [N, classes]. The convolutions do not pad:
    an image of 32 becomes 30, 15, 13 and 6. Raises ValueError for a size below 10.
    """
    last = ((size - 2) // 2 - 2) // 2
    if last < 1:
        raise ValueError(f"demo_cnn: size: got {size}, wanted at least 10")
    return Sequential(
        {
            "conv1": Conv2d(in_channels, 32, 3),
            "relu1": ReLU(),
            "pool1": MaxPool2d(2),
            "conv2": Conv2d(32, 64, 3),
            "relu2": ReLU(),
            "pool2": MaxPool2d(2),
            "flatten": Flatten(),
            "linear": Linear(last * last * 64, classes),
        }
    )
