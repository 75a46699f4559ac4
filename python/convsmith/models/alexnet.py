"""AlexNet in its one-column form, with the state keys of torchvision.

Source: Krizhevsky 2014, arXiv:1404.5997; Krizhevsky, Sutskever and Hinton 2012 for the original.
"""

from __future__ import annotations

from convsmith.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)

_POOLED = 6


def alexnet(classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> Sequential:
    """Takes [N, H, W, in_channels], made for 224 x 224, and gives logits [N, classes]."""
    features = Sequential(
        Conv2d(in_channels, 64, 11, stride=4, padding=2),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(64, 192, 5, padding=2),
        ReLU(),
        MaxPool2d(3, 2),
        Conv2d(192, 384, 3, padding=1),
        ReLU(),
        Conv2d(384, 256, 3, padding=1),
        ReLU(),
        Conv2d(256, 256, 3, padding=1),
        ReLU(),
        MaxPool2d(3, 2),
    )
    classifier = Sequential(
        Dropout(dropout),
        Linear(256 * _POOLED * _POOLED, 4096),
        ReLU(),
        Dropout(dropout),
        Linear(4096, 4096),
        ReLU(),
        Linear(4096, classes),
    )
    return Sequential(
        {
            "features": features,
            "avgpool": AdaptiveAvgPool2d(_POOLED),
            "flatten": Flatten(),
            "classifier": classifier,
        }
    )
