"""The ImageNet models against torchvision's definitions: keys, outputs, gradients, statistics."""

from __future__ import annotations

import copy
import importlib.util
import sys
import types
from typing import Any

import numpy as np
import pytest

from convsmith import nn, to_nhwc
from convsmith.io import from_torch
from convsmith.models import (
    MODELS,
    alexnet,
    auxiliary_cross_entropy,
    find_model,
    googlenet,
    resnet,
    vgg,
)

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def torchvision() -> Any:
    """torchvision.models without the binary part, which wants a torch of its own build."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        pytest.skip("torchvision is not installed")
    empty = types.ModuleType("torchvision")
    empty.__path__ = list(spec.submodule_search_locations or ())
    before = sys.modules.get("torchvision")
    sys.modules["torchvision"] = empty
    try:
        yield importlib.import_module("torchvision.models")
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        if before is not None:
            sys.modules["torchvision"] = before


IMAGENET = tuple(name for name in MODELS if name != "demo")
# torchvision flattens channels first: the columns of the first Linear.
FLATTENED = {
    "alexnet": {"classifier.1.weight": (256, 6, 6)},
    "vgg": {"classifier.0.weight": (512, 7, 7)},
    "googlenet": {"aux1.fc1.weight": (128, 4, 4), "aux2.fc1.weight": (128, 4, 4)},
}
# What torchvision's functions take, and ours, for the same model.
OPTIONS = {"googlenet": ({"init_weights": False}, {"aux": True})}
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "googlenet": 13_004_888,
}
# Small pictures: the layers are those of 224, the time is not.
SIZES = {"alexnet": 80, "vgg11_bn": 32, "resnet18": 64, "resnet50": 64, "googlenet": 96}


def flattened(name: str) -> dict[str, tuple[int, int, int]]:
    return next((keys for start, keys in FLATTENED.items() if name.startswith(start)), {})


def pair(torchvision: Any, name: str) -> tuple[nn.Layer, Any]:
    """Ours and theirs with the same weights, and dropout of the same seedless kind: none."""
    torch.manual_seed(0)
    their_options, our_options = OPTIONS.get(name, ({}, {}))
    theirs = getattr(torchvision, name)(weights=None, **their_options)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ours = find_model(name).build(**our_options)
    for _, layer in ours.named_layers():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    ours.load_state_dict(from_torch(theirs.state_dict(), flattened(name)))
    return ours, theirs


def shape_of(tensor: Any) -> tuple[int, ...]:
    """In our layout."""
    shape = tuple(tensor.shape)
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET)
def test_state_keys_and_shapes(torchvision: Any, name: str) -> None:
    with torch.device("meta"):  # shapes without memory
        their_options, our_options = OPTIONS.get(name, ({}, {}))
        theirs = getattr(torchvision, name)(weights=None, **their_options).state_dict()
    built = find_model(name).build(**our_options)
    ours = {key: array.shape for key, array in built.state_arrays()}
    assert ours == {key: shape_of(tensor) for key, tensor in theirs.items()}


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet50", "googlenet"])
def test_parameter_counts(name: str) -> None:
    built = find_model(name).build(**OPTIONS.get(name, ({}, {}))[1])
    assert sum(p.size for p in built.parameters()) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
def test_parameter_counts_of_large_models(name: str) -> None:
    assert sum(p.size for p in find_model(name).build().parameters()) == PARAMETERS[name]


def torch_pass(model: Any, x: Any, labels: Any) -> dict[str, Any]:
    """Inference, loss, and every gradient of a training pass."""
    with torch.no_grad():
        found = {"inference": model.eval()(x).numpy()}
    made, loss_of = model.train()(x), torch.nn.functional.cross_entropy
    targets = torch.from_numpy(labels)
    logits = made if torch.is_tensor(made) else made.logits
    loss = loss_of(logits, targets)
    if logits is not made:
        loss = loss + 0.3 * (
            loss_of(made.aux_logits1, targets) + loss_of(made.aux_logits2, targets)
        )
    model.zero_grad()
    loss.backward()
    found["logits"], found["loss"] = logits.detach().numpy(), np.array(loss.item())
    return found | {key: p.grad.numpy() for key, p in model.named_parameters()}


def our_pass(model: nn.Layer, x: Any, labels: Any) -> dict[str, Any]:
    found = {"inference": model(x)}
    made, cache = model.forward(x, training=True)
    found["logits"] = made["fc"] if isinstance(made, dict) else made
    loss_of = auxiliary_cross_entropy if isinstance(made, dict) else nn.cross_entropy
    loss, dy = loss_of(made, labels)
    model.backward(dy, cache)
    found["loss"] = np.array(loss)
    return found | {key: p.grad for key, p in model.named_parameters()}


def wrong(found: Any, truth: Any, peer: Any, rtol: float) -> dict[str, Any]:
    """What lies further from the truth than three times the peer and rtol of its norm."""
    far = {}
    for key, expected in truth.items():
        size = np.linalg.norm(expected)
        error, allowed = (float(np.linalg.norm(v[key] - expected)) for v in (found, peer))
        # A bias in front of a BatchNorm has a gradient of 0, give or take the rounding.
        if not error <= 3 * allowed + rtol * size + 1e-12:
            far[key] = (error / size, allowed / size)
    return far


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        *(pytest.param(n, marks=pytest.mark.slow) for n in SIZES if n != "resnet18"),
    ],
)
def test_outputs_loss_and_every_gradient(torchvision: Any, name: str) -> None:
    """In float64 nearly equal; in float32 as far from it as PyTorch is, give or take.

    One activation whose sign, or one maximum whose place, the rounding decides otherwise moves
    gradients by half a percent, in PyTorch as here: hence the loose bound in float32.
    """
    ours, theirs = pair(torchvision, name)
    exact = copy.deepcopy(theirs).double()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3, SIZES[name], SIZES[name])).astype(np.float32)
    labels = rng.integers(0, 1000, 4)
    tensor, state = torch.from_numpy(x), ours.state_dict()
    peer = from_torch(torch_pass(theirs, tensor, labels), flattened(name))
    truth = from_torch(torch_pass(exact, tensor.double(), labels), flattened(name))
    assert wrong(our_pass(ours, to_nhwc(x), labels), truth, peer, 0.02) == {}
    ours.load_state_dict(state)
    ours.astype("float64")
    found = our_pass(ours, to_nhwc(x).astype(np.float64), labels)
    assert wrong(found, truth, truth, 1e-8) == {}


@pytest.mark.slow
def test_running_statistics_after_five_steps(torchvision: Any) -> None:
    ours, theirs = pair(torchvision, "resnet18")
    theirs.train()
    for step in range(5):
        x = np.random.default_rng(step).standard_normal((4, 3, 64, 64)).astype(np.float32)
        with torch.no_grad():
            theirs(torch.from_numpy(x))
        ours.forward(to_nhwc(x), training=True)
    expected = theirs.state_dict()
    for key, array in ours.named_buffers():
        np.testing.assert_allclose(array, expected[key].numpy(), rtol=1e-4, atol=1e-5, err_msg=key)


def test_widths_classes_and_channels() -> None:
    x = np.ones((2, 32, 32, 1), np.float32)
    small = resnet(18, 5, in_channels=1, width=8)
    assert small(x).shape == (2, 5)
    assert small["fc"].in_features == 64
    assert resnet(50, 3, in_channels=1, width=4)(x).shape == (2, 3)
    assert vgg(11, 7, in_channels=1, width=4, hidden=16)(x).shape == (2, 7)
    assert alexnet(4, in_channels=1)(np.ones((1, 64, 64, 1), np.float32)).shape == (1, 4)
    assert googlenet(6, in_channels=1)(x).shape == (2, 6)
    y, cache = small.forward(x, training=True)
    assert small.backward(np.ones_like(y), cache).shape == x.shape


def test_unknown_depths() -> None:
    with pytest.raises(ValueError, match="resnet: depth: got 20, wanted one of 18, 34"):
        resnet(20)
    with pytest.raises(ValueError, match="vgg: depth: got 12, wanted one of 11, 13"):
        vgg(12)
