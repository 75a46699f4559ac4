"""Whole networks trained on the CUDA kernels, thread by thread, beside the CPU's own kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convsmith
from convsmith import nn
from convsmith.backends import simt, use_backend
from convsmith.models import demo_cnn
from convsmith.nn.loss import cross_entropy
from convsmith.optim import SGD, Adam

if simt.unavailable_reason():
    pytest.skip(simt.unavailable_reason(), allow_module_level=True)

BATCH, CLASSES, STEPS = 8, 4, 10


def block(in_channels: int, channels: int, stride: int) -> nn.Residual:
    body = nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    shortcut = None
    if stride != 1 or in_channels != channels:
        shortcut = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(channels),
        )
    return nn.Residual(body, shortcut, nn.ReLU())


def small_resnet() -> nn.Sequential:
    """BatchNorm, a block of stride 2 with a 1x1 shortcut, one that adds its input."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        block(16, 16, 1),
        block(16, 32, 2),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Linear(32, CLASSES),
    )


NETWORKS = {
    "demo": lambda: demo_cnn(classes=CLASSES),
    "small_resnet": small_resnet,
}
SIZES = {"demo": 32, "small_resnet": 14}
OPTIMIZERS = {
    "demo": lambda model: Adam(model.parameters(), lr=2e-3),
    "small_resnet": lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9),
}


def pictures(seed: int, size: int) -> tuple[Any, Any]:
    """A bright bar along one side of a noisy square; the label says which side."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, BATCH)
    x = rng.standard_normal((BATCH, size, size, 1)).astype(np.float32) * 0.3
    for picture, label in zip(x[..., 0], labels, strict=True):
        np.rot90(picture, label)[: len(picture) // 4] += 1
    return x, labels


def train(network: str, backend: str, dtype: str = "float32", steps: int = STEPS) -> list[float]:
    """The loss before each step."""
    convsmith.seed(3)
    model = NETWORKS[network]().astype(dtype)
    optimizer = OPTIMIZERS[network](model)
    losses = []
    with use_backend(backend):
        for step in range(steps):
            x, labels = pictures(step, SIZES[network])
            y, cache = model.forward(x.astype(model.parameters()[0].dtype), training=True)
            loss, dy = cross_entropy(y, labels)
            model.backward(dy, cache, input_grad=False)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
    return losses


@pytest.mark.parametrize("network", NETWORKS)
def test_ten_steps_as_on_the_cpu(network: str) -> None:
    found, wanted = train(network, "simt"), train(network, "native_cpu")
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert wanted[-1] < wanted[0] / 2, "a network that does not learn compares nothing"


@pytest.mark.parametrize("network", NETWORKS)
def test_the_order_of_threads_changes_no_bit_of_a_training(network: str) -> None:
    plain = train(network, "simt", steps=2)
    with simt.schedule("random", 5):
        assert train(network, "simt", steps=2) == plain


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_sixteen_bits_converge(network: str, dtype: str) -> None:
    """Activations and weights in 16 bits, on tensor cores; the optimizer's copies in float32."""
    pytest.importorskip("ml_dtypes")
    steps = 20
    wide, narrow = train(network, "native_cpu", steps=steps), train(network, "simt", dtype, steps)
    assert np.mean(narrow[-4:]) < wide[0] / 4
    assert abs(narrow[0] - wide[0]) < 0.03 * wide[0]
    assert np.mean(narrow[-4:]) < np.mean(wide[-4:]) + 0.05
