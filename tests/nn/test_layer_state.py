"""Names, state and conversion of layers, and what their errors say."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from convsmith import nn


class Block(nn.Layer):
    """A layer of the user's own: children as attributes, in a list and in a dict."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.first = nn.Linear(4, 4)
        self.rest = [nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False)]
        self.heads = {"a": nn.Linear(4, 2)}
        self.also_first = self.first


def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


BCE = nn.binary_cross_entropy_with_logits


def x(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_names_follow_attributes_and_containers() -> None:
    block = Block()
    assert list(dict(block.named_parameters())) == [
        "scale",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
        "rest.1.weight",
        "heads.a.weight",
        "heads.a.bias",
    ]
    assert list(dict(block.named_buffers())) == [
        "rest.0.running_mean",
        "rest.0.running_var",
        "rest.0.num_batches_tracked",
    ]
    assert [name for name, _ in block.named_layers()] == [
        "",
        "first",
        "rest.0",
        "rest.1",
        "heads.a",
    ]


def test_a_shared_parameter_is_named_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    tied = nn.Sequential(first, second)
    assert list(tied.state_dict()) == ["0.weight", "0.bias", "1.bias"]
    y, cache = tied.forward(x(2, 4), training=True)
    tied.backward(np.ones_like(y), cache)
    assert len(tied.parameters()) == 3


def test_state_round_trip() -> None:
    ours, other = model(), model()
    ours.forward(x(4, 4, 4, 1), training=True)
    state = ours.state_dict()
    assert state["1.num_batches_tracked"].shape == ()
    assert int(state["1.num_batches_tracked"]) == 1
    assert other.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(ours(x(2, 4, 4, 1)), other(x(2, 4, 4, 1)))
    state["0.weight"][...] = 0  # copies
    assert np.any(ours.state_dict()["0.weight"])


def test_load_keeps_the_arrays_and_converts() -> None:
    ours = model()
    weight = ours.parameters()[0].data
    state = {key: value.astype(np.float64) for key, value in ours.state_dict().items()}
    state["0.weight"] = np.full(weight.shape, 2.0)
    ours.load_state_dict(state)
    assert ours.parameters()[0].data is weight
    assert weight.dtype == np.float32
    assert np.all(weight == 2)


def test_load_lists_every_problem_and_changes_nothing() -> None:
    ours = model()
    before = ours.state_dict()
    state = {key: value + 1 for key, value in before.items()}
    del state["1.running_mean"]
    state["extra.weight"] = np.ones(3)
    state["0.bias"] = np.ones(5)
    state["3.bias"] = np.array(["a", "b", "c"])
    with pytest.raises(ValueError) as caught:
        ours.load_state_dict(state)
    for part in (
        "missing: 1.running_mean",
        "unexpected: extra.weight",
        "0.bias: got shape (5,), wanted (2,)",
        "3.bias: got dtype",
    ):
        assert part in str(caught.value)
    after = ours.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_load_not_strict() -> None:
    ours = model()
    state = ours.state_dict()
    del state["0.bias"]
    state["new"] = np.ones(1)
    assert ours.load_state_dict(state, strict=False) == (["0.bias"], ["new"])
    state["0.weight"] = np.ones(1)
    with pytest.raises(ValueError, match=r"0\.weight: got shape \(1,\)"):
        ours.load_state_dict(state, strict=False)


def test_astype() -> None:
    ours = model().astype("float64")
    assert all(p.dtype == np.float64 for p in ours.parameters())
    state = ours.state_dict()
    assert state["1.running_var"].dtype == np.float64
    assert state["1.num_batches_tracked"].dtype == np.int64
    assert ours(x(2, 4, 4, 1).astype(np.float64)).dtype == np.float64
    assert nn.Conv2d(1, 2, 3, dtype="float64").weight.dtype == np.float64


def test_gradients_are_kept_until_zeroed() -> None:
    layer = nn.Linear(4, 3)
    y, cache = layer.forward(x(2, 4), training=True)
    layer.backward(np.ones_like(y), cache)
    first = layer.weight.grad
    kept = first.copy()
    layer.backward(np.ones_like(y), cache)
    assert layer.weight.grad is first  # added in place
    np.testing.assert_allclose(first, 2 * kept)
    layer.zero_grad()
    assert layer.weight.grad is None


def test_inference_gives_no_cache_and_backward_says_so() -> None:
    for layer, shape in ((nn.Linear(4, 3), (2, 4)), (nn.ReLU(), (2, 4)), (model(), (2, 4, 4, 1))):
        y, cache = layer.forward(x(*shape))
        assert cache is None
        with pytest.raises(ValueError, match="training=True"):
            layer.backward(y, cache)


def test_deepcopy_is_independent() -> None:
    ours = model()
    other = copy.deepcopy(ours)
    other.parameters()[0].data += 1
    assert not np.array_equal(ours.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_repr_reads_like_the_call() -> None:
    assert repr(nn.Conv2d(3, 8, 3, padding="same", bias=False)) == (
        "Conv2d(3, 8, 3, padding='same', bias=False)"
    )
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.Activation("tanh")) == "Activation('tanh')"
    assert repr(nn.Activation("leaky_relu", 0.3)) == (
        "Activation('leaky_relu', negative_slope=0.3)"
    )
    assert "(0): Conv2d(1, 2, 3)" in repr(model())


def test_an_error_names_the_path_and_what_was_wanted() -> None:
    inner = nn.Sequential({"conv": nn.Conv2d(3, 8, 3)})
    outer = nn.Sequential(nn.Residual(nn.Concat(inner)))
    with pytest.raises(ValueError) as caught:
        outer(x(2, 4, 4, 4))
    message = str(caught.value)
    assert message.startswith("0.body.0.conv: Conv2d(3, 8, 3): x: got shape (2, 4, 4, 4), wanted ")
    assert "3 channels" in message
    assert "to_nhwc" in message


def test_an_error_of_an_op_names_the_layer() -> None:
    with pytest.raises(TypeError, match=r"^1: ReLU\(\): activation_forward: x: got dtype int64"):
        nn.Sequential(nn.Identity(), nn.ReLU())(np.ones((2, 4), np.int64))


def test_load_takes_tensors() -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = torch.nn.Linear(4, 3), nn.Linear(4, 3)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight.data, theirs.weight.detach().numpy())
    before = ours.state_dict()
    for bad in (theirs.weight, theirs.weight.detach().to(torch.bfloat16)):
        with pytest.raises(TypeError, match=r"weight: got a .* that NumPy cannot read"):
            ours.load_state_dict({"bias": torch.ones(3), "weight": bad})
    assert all(np.array_equal(before[key], value) for key, value in ours.state_dict().items())


def test_load_refuses_before_it_changes_anything() -> None:
    ours = model()
    before = ours.state_dict()
    state = {key: value + 1 for key, value in before.items()}
    with pytest.raises(ValueError, match=r"1\.num_batches_tracked: got values that are no whole"):
        ours.load_state_dict({**state, "1.num_batches_tracked": np.array(1.5)})
    with pytest.raises(ValueError, match="no whole numbers"):
        ours.load_state_dict({**state, "1.num_batches_tracked": np.array(np.nan)})
    last = ours.parameters()[-1].data
    last.flags.writeable = False
    with pytest.raises(ValueError, match=r"3\.bias: the array in the model is read-only"):
        ours.load_state_dict(state)
    assert all(np.array_equal(before[key], value) for key, value in ours.state_dict().items())


def test_load_names_the_helper_for_weights_of_pytorch() -> None:
    conv = nn.Conv2d(2, 4, 3)
    state = {**conv.state_dict(), "weight": np.ones((4, 2, 3, 3))}
    with pytest.raises(ValueError, match=r"wanted \(4, 3, 3, 2\); it fits as convsmith\.to_nhwc"):
        conv.load_state_dict(state)


def test_two_arrays_of_one_name() -> None:
    layer = Block()
    layer.heads = {"a": nn.Linear(4, 2), "a.weight": nn.Identity()}
    layer.state_dict()
    layer.heads = {"a": nn.Sequential(nn.Linear(2, 2)), "a.0": nn.Linear(2, 2)}
    for act in (layer.state_dict, lambda: layer.load_state_dict({})):
        with pytest.raises(ValueError, match=r"two arrays are named 'heads\.a\.0\.weight'"):
            act()


def test_layers_on_attributes_of_a_container_are_found() -> None:
    for made in (
        nn.Sequential(nn.Linear(4, 4)),
        nn.Concat(nn.Linear(4, 4)),
        nn.Graph({"0": (nn.Linear(4, 4), "x")}, inputs="x", outputs="0"),
    ):
        made.head = nn.Linear(4, 2)
        made.again = made.head
        assert list(made.state_dict()) == ["0.weight", "0.bias", "head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.Conv2d(0, 8, 3), "in_channels: got 0"),
        (lambda: nn.Conv2d(3, 8, 0), "kernel_size"),
        (lambda: nn.Conv2d(3, 8, 3, stride=0), "stride"),
        (lambda: nn.Conv2d(3, 8, 3, padding=-1), "padding"),
        (lambda: nn.Conv2d(3, 8, 3, padding="valid"), "padding"),
        (lambda: nn.Conv2d(3, 8, 3, groups=2), "groups: got 2"),
        (lambda: nn.Conv2d(3, 8, 3, groups=0), "groups: got 0"),
        (lambda: nn.Conv2d(3, 8, 3, activation="gelu"), "activation: got 'gelu'"),
        (lambda: nn.Linear(4, 0), "out_features"),
        (lambda: nn.MaxPool2d(0), "kernel_size"),
        (lambda: nn.AdaptiveAvgPool2d(0), "output_size"),
        (lambda: nn.BatchNorm2d(4, eps=0), "eps"),
        (lambda: nn.BatchNorm2d(4, momentum=2), "momentum"),
        (lambda: nn.LeakyReLU(0), "negative_slope"),
        (lambda: nn.Dropout(1.5), "p: got 1.5"),
        (lambda: nn.Dropout(float("nan")), "p: got nan"),
        (lambda: nn.Upsample(), "size=None and scale_factor=None"),
        (lambda: nn.Upsample(2, mode="cubic"), "mode"),
        (lambda: nn.Upsample(2, align_corners=True), "align_corners"),
        (lambda: nn.Upsample(scale_factor=0), "scale_factor"),
        (lambda: nn.Upsample(scale_factor=0.1)(x(1, 4, 4, 1)), "size"),
        (lambda: nn.LocalResponseNorm(0), "size"),
        (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2, output_padding=2)(x(1, 4, 4, 2)), "output"),
        (lambda: nn.Conv2d(2, 3, 5)(x(1, 4, 4, 2)), r"Conv2d\(2, 3, 5\): .*larger input"),
        (lambda: nn.MaxPool2d(5)(x(1, 4, 4, 2)), r"MaxPool2d\(5\): .*larger input"),
        (lambda: nn.Linear(4, 3)(x(2, 2, 2, 3)), "Flatten"),
        (lambda: nn.BatchNorm2d(4)(x(2, 4)), r"BatchNorm2d\(4\): x: got shape \(2, 4\)"),
        (lambda: nn.BatchNorm1d(4)(x(2, 3, 3, 4)), r"BatchNorm1d\(4\): x: got shape"),
        (lambda: nn.BatchNorm1d(4).forward(x(1, 4), True), "larger batch"),
        (lambda: nn.Residual(nn.Linear(4, 3))(x(2, 4)), "shortcut"),
        (lambda: nn.Concat(), "no branches"),
        (lambda: nn.Concatenate()((x(2, 3), x(3, 3))), "last dimension alone"),
        (lambda: nn.Add()((x(2, 3),)), "at least 2"),
        (lambda: nn.Sequential({"a.b": nn.ReLU()}), "without a dot"),
        (lambda: nn.cross_entropy(x(2, 3), np.array([0, 3])), "wanted 0 to 2"),
        (lambda: nn.cross_entropy(x(2, 3), np.array([0])), "labels: got shape"),
        (lambda: nn.cross_entropy(x(0, 3), np.array([], int)), "no elements"),
        (lambda: nn.mse_loss(x(2, 3), x(3, 2)), "target: got shape"),
        (lambda: BCE(x(2, 3), np.full((2, 3), 1.5)), "target: got 1.5 to 1.5, wanted values from"),
        (lambda: BCE(x(2, 3), np.full((2, 3), -1)), "target: got -1"),
        (lambda: BCE(x(2, 3), np.full((2, 3), np.nan)), "target: got nan"),
        (lambda: nn.LocalResponseNorm(3, alpha=float("nan")), "alpha: got nan"),
        (lambda: nn.LocalResponseNorm(3, beta=float("inf")), "beta: got inf"),
        (lambda: nn.LocalResponseNorm(3, k=float("nan")), "k: got nan"),
        (
            lambda: nn.Graph({"a": (nn.Add(), "x")}, inputs="x", outputs="a"),
            r'node "a": got one input for Add\(\), wanted at least 2',
        ),
        (
            lambda: nn.Graph({"a": (nn.Concatenate(), "x")}, inputs="x", outputs="a"),
            "got one input for Concatenate",
        ),
    ],
)
def test_bad_arguments(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.ReLU),
        lambda: nn.Residual("body"),  # type: ignore[arg-type]
        lambda: nn.Conv2d(3.5, 8, 3),  # type: ignore[arg-type]
        lambda: nn.cross_entropy(x(2, 3), np.array([0.0, 1.0])),
        lambda: nn.cross_entropy(x(2, 3), [0, 1]),
        lambda: nn.Concatenate()((x(2, 3), x(2, 3).astype(np.float64))),
        lambda: nn.Concatenate()(x(2, 3)),
        lambda: nn.Add()(x(2, 3)),
        lambda: nn.cross_entropy([[1.0, 2.0]], np.array([0])),
        lambda: nn.mse_loss([1.0], [1.0]),
        lambda: nn.mse_loss(x(2, 3), [1.0]),
        lambda: BCE(None, x(2, 3)),
    ],
)
def test_wrong_types(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


def test_a_base_layer_asks_to_be_subclassed() -> None:
    with pytest.raises(NotImplementedError, match="Block does not define forward"):
        Block()(x(2, 4))


def test_empty_batch() -> None:
    ours = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3)
    )
    empty = x(0, 4, 4, 1)
    y, cache = ours.forward(empty, training=True)
    assert y.shape == (0, 3)
    assert ours.backward(y, cache).shape == empty.shape
    assert not np.any(ours.parameters()[0].grad)


@pytest.mark.parametrize("dtype", [">f4", "float64", "longdouble", "int32"])
def test_states_of_other_number_types_are_converted(dtype: str) -> None:
    layer = nn.Linear(3, 2)
    state = {key: np.round(array * 9).astype(dtype) for key, array in layer.state_dict().items()}
    layer.load_state_dict(state)
    np.testing.assert_array_equal(layer.weight.data, state["weight"].astype(np.float32))
