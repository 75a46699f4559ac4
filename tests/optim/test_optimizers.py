from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from convsmith import nn
from convsmith.optim import SGD, Adam, AdamW, Optimizer

CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "sgd": (SGD, "SGD", {"lr": 0.1}),
    "sgd, momentum": (SGD, "SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd, nesterov": (
        SGD,
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
    ),
    "sgd, decay": (SGD, "SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "adam": (Adam, "Adam", {}),
    "adam, decay": (Adam, "Adam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    "adamw": (AdamW, "AdamW", {"lr": 0.05}),
    "adamw, all": (
        AdamW,
        "AdamW",
        {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.2},
    ),
}


def parameters() -> list[nn.Parameter]:
    rng = np.random.default_rng(0)
    return [
        nn.Parameter(rng.standard_normal(shape).astype(np.float32))
        for shape in ((7, 5), (3,), (2, 3, 3, 4))
    ]


def give_gradients(ours: list[nn.Parameter], step: int) -> None:
    rng = np.random.default_rng(100 + step)
    for parameter in ours:
        parameter.grad = rng.standard_normal(parameter.shape).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, torch_name, options = CASES[name]
    ours = parameters()
    theirs = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in ours]
    optimizer = make(ours, **options)
    torch_optimizer = getattr(torch.optim, torch_name)(theirs, **options)
    for step in range(5):
        give_gradients(ours, step)
        if step == 2:  # one without a gradient is left alone, its step count too
            ours[1].grad = None
        if step == 3:
            optimizer.lr *= 0.5
            torch_optimizer.param_groups[0]["lr"] *= 0.5
        for mine, other in zip(ours, theirs, strict=True):
            other.grad = None if mine.grad is None else torch.from_numpy(mine.grad.copy())
        optimizer.step()
        torch_optimizer.step()
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_state_goes_on_bit_for_bit(name: str) -> None:
    make, _, options = CASES[name]
    ours = parameters()
    optimizer: Optimizer = make(ours, **options)
    for step in range(3):
        give_gradients(ours, step)
        if step == 1:
            ours[0].grad = None
        optimizer.step()
    others = [nn.Parameter(p.data.copy()) for p in ours]
    # As it comes back from a file: arrays for numbers.
    state = {key: np.array(value) for key, value in optimizer.state_dict().items()}
    # Other settings, which the state puts right.
    resumed: Optimizer = make(others, **{**options, "lr": 0.7})
    resumed.load_state_dict(state)
    assert resumed.state_dict().keys() == optimizer.state_dict().keys()
    assert resumed.lr == optimizer.lr
    for step in range(3, 5):
        give_gradients(ours, step)
        give_gradients(others, step)
        optimizer.step()
        resumed.step()
    for mine, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(mine.data, other.data)


def test_state_is_a_copy() -> None:
    ours = parameters()
    optimizer = Adam(ours)
    give_gradients(ours, 0)
    optimizer.step()
    optimizer.state_dict()["exp_avg.0"][...] = 7
    assert not np.any(optimizer.state_dict()["exp_avg.0"] == 7)


def test_bad_state_changes_nothing() -> None:
    ours = parameters()
    optimizer = Adam(ours)
    give_gradients(ours, 0)
    optimizer.step()
    good = optimizer.state_dict()
    bad = copy.deepcopy(good)
    del bad["exp_avg.1"]
    bad["extra"] = 1
    bad["exp_avg_sq.2"] = np.zeros(3)
    with pytest.raises(ValueError) as caught:
        optimizer.load_state_dict(bad)
    for part in ("missing: exp_avg.1", "unexpected: extra", "exp_avg_sq.2: got shape (3,)"):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="lr: got -1"):
        optimizer.load_state_dict({**good, "lr": -1.0})
    with pytest.raises(ValueError, match=r"betas\[1\]: got 1"):
        optimizer.load_state_dict({**good, "lr": 0.5, "beta2": 1.0})
    after = optimizer.state_dict()
    assert all(np.array_equal(good[key], after[key]) for key in good)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exp_avg.1", np.array(["a", "b", "c"])),
        ("exp_avg.1", np.array([1j, 0, 0])),
        ("exp_avg.1", np.array([None, 1, 2])),
        ("exp_avg.1", np.ones(3, bool)),
        ("step.0", 1.5),
        ("step.0", -1),
        ("step.0", float("nan")),
        ("step.0", "1"),
        ("step.0", None),
        ("step.0", [1, 1]),
        ("lr", "0.1"),
        ("lr", None),
        ("lr", [0.1, 0.2]),
        ("eps", 1j),
    ],
)
def test_bad_values_change_nothing(key: str, value: Any) -> None:
    ours = parameters()
    optimizer = Adam(ours)
    give_gradients(ours, 0)
    optimizer.step()
    good = optimizer.state_dict()
    with pytest.raises(ValueError, match=rf"(?s)load_state_dict: .*{key}: got") as caught:
        optimizer.load_state_dict({**good, "beta1": 0.5, key: value})
    assert "wanted" in str(caught.value)
    after = optimizer.state_dict()
    assert all(np.array_equal(good[key], after[key]) for key in good)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0)])
def test_momentum_comes_with_the_state(before: float, after: float) -> None:
    ours, others = parameters(), parameters()
    saved, resumed = SGD(ours, lr=0.1, momentum=after), SGD(others, lr=0.1, momentum=before)
    for step in range(2):
        give_gradients(ours, step)
        give_gradients(others, step + 7)
        saved.step()
        resumed.step()
    for mine, other in zip(ours, others, strict=True):
        other.data[...] = mine.data
    resumed.load_state_dict(saved.state_dict())
    assert resumed.momentum == after
    assert resumed.state_dict().keys() == saved.state_dict().keys()
    give_gradients(ours, 2)
    give_gradients(others, 2)
    saved.step()
    resumed.step()
    for mine, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(mine.data, other.data)


def test_a_refused_update_is_not_counted() -> None:
    ours = parameters()
    optimizer = Adam(ours)
    ours[0].grad = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="grad"):
        optimizer.step()
    assert optimizer.steps == [0, 0, 0]


def test_momentum_may_be_set_later() -> None:
    ours = parameters()
    optimizer = SGD(ours, lr=0.1)
    give_gradients(ours, 0)
    optimizer.step()
    optimizer.momentum = 0.9
    SGD(parameters(), lr=0.1).load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert np.array_equal(optimizer.slots[0]["velocity"], ours[0].grad)
    optimizer.momentum = 0.0
    SGD(parameters(), lr=0.1).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: SGD(p, lr=-0.1), "lr: got -0.1"),
        (lambda p: SGD(p, lr=float("nan")), "lr: got nan"),
        (lambda p: SGD(p, momentum=-1), "momentum"),
        (lambda p: SGD(p, weight_decay=float("inf")), "weight_decay"),
        (lambda p: SGD(p, nesterov=True), "nesterov"),
        (lambda p: Adam(p, betas=(1.0, 0.9)), r"betas\[0\]"),
        (lambda p: Adam(p, betas=(0.9, -0.1)), r"betas\[1\]"),
        (lambda p: Adam(p, eps=-1), "eps"),
        (lambda p: AdamW(p, weight_decay=-1), "weight_decay"),
        (lambda p: SGD([]), "got none"),
    ],
)
def test_bad_settings(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make(parameters())
    optimizer = SGD(parameters(), lr=0.1)
    with pytest.raises(ValueError, match="lr: got -1"):
        optimizer.lr = -1


def test_parameters_are_checked_and_taken_once() -> None:
    with pytest.raises(TypeError, match=r"model\.parameters\(\)"):
        SGD([np.zeros(3)])  # type: ignore[list-item]
    one = parameters()[0]
    assert SGD([one, one]).parameters == [one]


def test_updates_are_in_place_and_zero_grad_forgets() -> None:
    ours = parameters()
    arrays = [p.data for p in ours]
    optimizer = SGD(ours, lr=0.1, momentum=0.9)
    give_gradients(ours, 0)
    optimizer.step()
    assert all(p.data is array for p, array in zip(ours, arrays, strict=True))
    optimizer.zero_grad()
    assert all(p.grad is None for p in ours)
    before = [array.copy() for array in arrays]
    optimizer.step()
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))


def test_repr() -> None:
    assert repr(SGD(parameters(), lr=0.1)) == (
        "SGD(lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False)"
    )


@pytest.mark.parametrize("name", ["sgd, nesterov", "adamw, all"])
def test_sixteen_bits_are_updated_in_float32(name: str) -> None:
    """Steps far below the rounding of float16 add up, as they do in float32."""
    make, _, options = CASES[name]
    options = {**options, "lr": 1e-5, "weight_decay": 0.0}
    start = [p.data.astype(np.float16) for p in parameters()]
    narrow = [nn.Parameter(a.copy()) for a in start]
    wide = [nn.Parameter(a.astype(np.float32)) for a in start]
    ours, theirs = make(narrow, **options), make(wide, **options)
    for _ in range(40):
        give_gradients(wide, 0)
        for parameter, twin in zip(narrow, wide, strict=True):
            parameter.grad = twin.grad.astype(np.float16)
            twin.grad = parameter.grad.astype(np.float32)
        ours.step()
        theirs.step()
    for parameter, twin, before in zip(narrow, wide, start, strict=True):
        assert parameter.dtype == np.float16
        np.testing.assert_array_equal(parameter.data, twin.data.astype(np.float16))
        assert (parameter.data != before).any()


def test_the_float32_copies_are_saved_and_follow_the_parameters() -> None:
    def fresh() -> tuple[nn.Parameter, Adam]:
        parameter = nn.Parameter(np.linspace(-1, 1, 7).astype(np.float16))
        return parameter, Adam([parameter], lr=1e-5)

    def step(parameter: nn.Parameter, optimizer: Adam, count: int) -> None:
        for _ in range(count):
            parameter.grad = np.full(7, 0.5, np.float16)
            optimizer.step()

    parameter, optimizer = fresh()
    step(parameter, optimizer, 60)
    again, restored = fresh()
    step(again, restored, 30)
    state, data = restored.state_dict(), again.data.copy()
    assert state["master.0"].dtype == np.float32
    again, restored = fresh()
    again.data[...] = data
    restored.load_state_dict(state)
    step(again, restored, 30)
    np.testing.assert_array_equal(again.data, parameter.data)

    # Weights that were loaded meanwhile are where the next step starts.
    parameter.data[...] = 3
    step(parameter, optimizer, 1)
    np.testing.assert_array_equal(parameter.data, np.full(7, 3, np.float16))


def test_a_parameter_that_became_narrow_is_saved_with_its_copy() -> None:
    layer = nn.Linear(2, 2)
    optimizer = SGD(layer.parameters(), lr=0.1)
    for parameter in layer.parameters():
        parameter.grad = np.ones(parameter.shape, np.float32)
    optimizer.step()
    layer.astype("float16")
    state = optimizer.state_dict()
    np.testing.assert_array_equal(state["master.0"], layer.weight.data.astype(np.float32))
