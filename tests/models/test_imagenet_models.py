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
from convsmith.models import MODELS, alexnet, find_model, resnet, vgg

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
}
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}
# Small pictures: the layers are those of 224, the time is not.
SIZES = {"alexnet": 80, "vgg11_bn": 32, "resnet18": 64, "resnet50": 64}


def flattened(name: str) -> dict[str, tuple[int, int, int]]:
    return next((keys for start, keys in FLATTENED.items() if name.startswith(start)), {})


def pair(torchvision: Any, name: str) -> tuple[nn.Layer, Any]:
    """Ours and theirs with the same weights, and dropout of the same seedless kind: none."""
    torch.manual_seed(0)
    theirs = getattr(torchvision, name)(weights=None)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    ours = find_model(name).build()
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
        theirs = getattr(torchvision, name)(weights=None).state_dict()
    ours = {key: array.shape for key, array in find_model(name).build().state_arrays()}
    assert list(ours) == list(theirs)
    assert ours == {key: shape_of(tensor) for key, tensor in theirs.items()}


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet50"])
def test_parameter_counts(name: str) -> None:
    assert sum(p.size for p in find_model(name).build().parameters()) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
def test_parameter_counts_of_large_models(name: str) -> None:
    assert sum(p.size for p in find_model(name).build().parameters()) == PARAMETERS[name]


def torch_pass(model: Any, x: Any, labels: Any) -> dict[str, Any]:
    """Inference, loss, and every gradient of a training pass."""
    with torch.no_grad():
        found = {"inference": model.eval()(x).numpy()}
    logits = model.train()(x)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    model.zero_grad()
    loss.backward()
    found["logits"], found["loss"] = logits.detach().numpy(), np.array(loss.item())
    return found | {key: p.grad.numpy() for key, p in model.named_parameters()}


def our_pass(model: nn.Layer, x: Any, labels: Any) -> dict[str, Any]:
    found = {"inference": model(x)}
    found["logits"], cache = model.forward(x, training=True)
    loss, dy = nn.cross_entropy(found["logits"], labels)
    model.backward(dy, cache)
    found["loss"] = np.array(loss)
    return found | {key: p.grad for key, p in model.named_parameters()}


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        *(pytest.param(n, marks=pytest.mark.slow) for n in SIZES if n != "resnet18"),
    ],
)
def test_outputs_loss_and_every_gradient(torchvision: Any, name: str) -> None:
    """As far from float64 as PyTorch's own float32 is, give or take: BatchNorm over few values
    magnifies the rounding of both."""
    ours, theirs = pair(torchvision, name)
    exact = copy.deepcopy(theirs).double()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3, SIZES[name], SIZES[name])).astype(np.float32)
    labels = rng.integers(0, 1000, 4)
    found = our_pass(ours, to_nhwc(x), labels)
    peer = from_torch(torch_pass(theirs, torch.from_numpy(x), labels), flattened(name))
    truth = from_torch(torch_pass(exact, torch.from_numpy(x).double(), labels), flattened(name))
    wrong = {}
    for key, expected in truth.items():
        size = np.linalg.norm(expected)
        error, allowed = (float(np.linalg.norm(v[key] - expected)) for v in (found, peer))
        if not error < 3 * allowed + 2e-5 * size:
            wrong[key] = (error / size, allowed / size)
    assert wrong == {}


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
    y, cache = small.forward(x, training=True)
    assert small.backward(np.ones_like(y), cache).shape == x.shape


def test_unknown_depths() -> None:
    with pytest.raises(ValueError, match="resnet: depth: got 20, wanted one of 18, 34"):
        resnet(20)
    with pytest.raises(ValueError, match="vgg: depth: got 12, wanted one of 11, 13"):
        vgg(12)
