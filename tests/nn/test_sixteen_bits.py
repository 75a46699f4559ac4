"""Models stored in 16 bits: what is narrow, what stays float32, and that the results are close."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convsmith import nn
from convsmith.backends import use_backend


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def x(dtype: Any) -> Any:
    return np.random.default_rng(0).standard_normal((5, 4, 4, 2)).astype(dtype)


def test_batch_norm_stays_float32() -> None:
    narrow = model().astype("float16")
    kinds = {key: array.dtype.name for key, array in narrow.state_arrays()}
    assert kinds.pop("1.num_batches_tracked") == "int64"
    assert {key for key, kind in kinds.items() if kind == "float32"} == {
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
    }
    assert set(kinds.values()) == {"float16", "float32"}
    assert nn.BatchNorm2d(4, dtype="float16").weight.dtype == np.float32
    assert narrow.astype("float64")[1].running_var.dtype == np.float64


def test_a_pass_in_float16_is_close_to_float32() -> None:
    wide = model()
    narrow = model()
    narrow.load_state_dict(wide.state_dict())
    narrow.astype("float16")
    gradients = []
    for net, dtype in ((wide, np.float32), (narrow, np.float16)):
        y, cache = net.forward(x(dtype), training=True)
        assert y.dtype == dtype
        loss, dy = nn.cross_entropy(y, np.arange(5) % 3)
        dx = net.backward(dy, cache)
        assert dx.dtype == dtype
        gradients.append([loss, dx, *(p.grad for p in net.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0.02, atol=2e-3)
    # The running statistics moved by the same steps, unrounded.
    np.testing.assert_allclose(narrow[1].running_var, wide[1].running_var, rtol=1e-3)


def test_bfloat16_by_name() -> None:
    pytest.importorskip("ml_dtypes")
    net = model().astype("bfloat16")
    assert net[0].weight.dtype.name == "bfloat16"
    assert nn.Linear(2, 3, dtype="bfloat16").weight.dtype.name == "bfloat16"
    pytest.importorskip("convsmith._simt")
    with use_backend("simt"):
        y = net(x(net[0].weight.dtype))
    assert y.dtype.name == "bfloat16"
    state = net.state_dict()
    again = model().astype("bfloat16")
    again.load_state_dict(state)
    assert again.astype("float32")[0].weight.dtype == np.float32
    np.testing.assert_array_equal(again[0].weight.data, state["0.weight"].astype(np.float32))


@pytest.mark.parametrize("dtype", ["int32", "complex64", ">f4"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match="wanted float32"):
        model().astype(dtype)
    with pytest.raises(TypeError, match=r"Linear: dtype: got .*, wanted float32"):
        nn.Linear(2, 3, dtype=dtype)
