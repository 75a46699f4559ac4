from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from convsmith import nn


def x(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_sequential_is_indexed_by_position_name_and_slice() -> None:
    first, second, third = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)
    model = nn.Sequential(first, second, third)
    assert len(model) == 3
    assert list(model) == [first, second, third]
    assert model[0] is first
    assert model[-1] is third
    assert model["1"] is second
    part = model[:2]
    assert isinstance(part, nn.Sequential)
    assert list(part) == [first, second]
    np.testing.assert_array_equal(model(x(2, 3)), third(second(first(x(2, 3)))))


def test_sequential_with_names() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(3, 4), act=nn.ReLU()))
    model.append(nn.Linear(4, 1), "head")
    assert list(model.state_dict()) == ["fc.weight", "fc.bias", "head.weight", "head.bias"]
    with pytest.raises(ValueError, match="'fc' twice"):
        model.append(nn.ReLU(), "fc")


def test_residual_and_concat_results() -> None:
    conv = nn.Conv2d(2, 2, 1)
    value = x(1, 3, 3, 2)
    np.testing.assert_allclose(nn.Residual(conv)(value), conv(value) + value, rtol=1e-6)
    residual = nn.Residual(conv, nn.Identity(), nn.ReLU())
    np.testing.assert_allclose(residual(value), np.maximum(conv(value) + value, 0), rtol=1e-6)
    assert list(residual.state_dict()) == ["body.weight", "body.bias"]
    both = nn.Concat(conv, nn.Identity())
    assert list(both.state_dict()) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(both(value)[..., 2:], value)
    np.testing.assert_array_equal(both(value)[..., :2], conv(value))


class Spy(nn.Identity):
    """Counts how often a gradient by its input was asked for."""

    def __init__(self) -> None:
        self.backwards: list[bool] = []

    def backward(self, dy: Any, cache: Any, input_grad: bool = True) -> Any:
        self.backwards.append(input_grad)
        return super().backward(dy, cache, input_grad)


def test_without_input_grad_nothing_before_the_first_parameters_is_computed() -> None:
    before, after = Spy(), Spy()
    linear = nn.Linear(3, 3)
    sequential = nn.Sequential(before, linear, after)
    graph = nn.Graph(
        {"before": (before, "x"), "linear": (linear, "before"), "after": (after, "linear")},
        inputs="x",
        outputs="after",
    )
    for model in (sequential, graph):
        before.backwards, after.backwards = [], []
        y, cache = model.forward(x(2, 3), training=True)
        assert model.backward(y, cache, input_grad=False) is None
        assert before.backwards == []
        assert after.backwards == [True]
        assert model.backward(y, cache) is not None
        assert before.backwards == [True]


def test_graph_nodes_in_any_order_and_shared_state() -> None:
    shared = nn.Linear(3, 3)
    graph = nn.Graph(
        {"sum": (nn.Add(), "one", "two"), "two": (shared, "one"), "one": (shared, "x")},
        inputs="x",
        outputs="sum",
    )
    value = x(2, 3)
    np.testing.assert_allclose(
        graph(value), shared(value) + shared(shared(value)), rtol=1e-5, atol=1e-6
    )
    assert list(graph.state_dict()) == ["two.weight", "two.bias"]


def test_graph_with_named_inputs_and_outputs() -> None:
    graph = nn.Graph(
        {"sum": (nn.Add(), "a", "b"), "act": (nn.ReLU(), "sum")},
        inputs=("a", "b"),
        outputs=("sum", "act"),
    )
    a, b = x(2, 3), -2 * x(2, 3)
    y, cache = graph.forward({"a": a, "b": b}, training=True)
    assert set(y) == {"sum", "act"}
    np.testing.assert_array_equal(y["act"], np.maximum(a + b, 0))
    dx = graph.backward({"sum": np.ones_like(a), "act": np.ones_like(a)}, cache)
    assert set(dx) == {"a", "b"}
    np.testing.assert_array_equal(dx["a"], 1 + (a + b > 0))
    with pytest.raises(ValueError, match="wanted a mapping with a, b"):
        graph(a)
    with pytest.raises(ValueError, match="wanted a, b"):
        graph({"a": a, "c": b})


def test_a_graph_s_error_names_the_node() -> None:
    graph = nn.Graph({"fc": (nn.Linear(4, 3), "x")}, inputs="x", outputs="fc")
    with pytest.raises(ValueError, match=r"^fc: Linear\(4, 3\): x: got shape \(2, 3\)"):
        graph(x(2, 3))


@pytest.mark.parametrize(
    ("nodes", "outputs", "match"),
    [
        ({"a": (nn.ReLU(), "b"), "b": (nn.ReLU(), "a"), "c": (nn.ReLU(), "x")}, "a", "feeds no"),
        (
            {"a": (nn.Add(), "b", "x"), "b": (nn.ReLU(), "a")},
            "a",
            "cycle goes through a, b",
        ),
        ({"a": (nn.ReLU(), "y")}, "a", "unknown input 'y'"),
        ({"a": (nn.ReLU(), "x")}, "b", "outputs: got 'b'"),
        ({"a": (nn.ReLU(), "x"), "b": (nn.ReLU(), "x")}, "a", "b: feeds no output"),
        ({"a": nn.ReLU()}, "a", 'node "a": got ReLU'),
        ({"x": (nn.ReLU(), "x")}, "x", "'x' twice"),
        ({"a": (nn.ReLU(), "x")}, (), "outputs: got"),
    ],
)
def test_bad_graphs(nodes: Any, outputs: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        nn.Graph(nodes, inputs="x", outputs=outputs)
