"""States of PyTorch models: they load strictly and the model then computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from convsmith import nn, to_nhwc
from convsmith.io import from_torch


def test_a_model_of_pytorch_loads_strictly() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ConvTranspose2d(4, 6, (3, 2), groups=2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 6 * 6, 5),
    ).eval()
    theirs[1].running_mean.normal_()
    ours = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ConvTranspose2d(4, 6, (3, 2), groups=2),
        nn.Flatten(),
        nn.Linear(6 * 6 * 6, 5),
    )
    state = theirs.state_dict()
    converted = from_torch(state, flatten={"4.weight": (6, 6, 6)})
    assert ours.load_state_dict(converted) == ([], [])
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 7)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(to_nhwc(x)), expected, rtol=1e-4, atol=1e-5)
    converted["0.bias"][...] = 7  # copies
    assert not bool((state["0.bias"] == 7).any())


def test_tensors_that_numpy_cannot_read() -> None:
    torch = pytest.importorskip("torch")
    state = from_torch(
        {
            "half": torch.ones(2, dtype=torch.bfloat16),
            "grad": torch.nn.Parameter(torch.ones(3)),
            "whole": torch.tensor(3),
        }
    )
    assert state["half"].dtype == np.float32
    assert state["grad"].shape == (3,)
    assert state["whole"].shape == () and state["whole"].dtype == np.int64


def test_arrays() -> None:
    weight = np.arange(24.0).reshape(2, 3, 2, 2)
    linear = np.arange(24.0).reshape(2, 12)
    state = from_torch({"conv": weight, "fc": linear}, flatten={"fc": (3, 2, 2)})
    np.testing.assert_array_equal(state["conv"], to_nhwc(weight))
    assert state["conv"].flags.c_contiguous
    np.testing.assert_array_equal(state["fc"], to_nhwc(weight).reshape(2, 12))


def test_bad_arguments() -> None:
    linear = {"fc": np.ones((2, 12)), "bias": np.ones(2)}
    with pytest.raises(ValueError, match="flatten: got 'fc2', wanted keys"):
        from_torch(linear, flatten={"fc2": (3, 2, 2)})
    for key, sizes in (("fc", (3, 2, 3)), ("fc", (3, 4)), ("bias", (2, 1, 1))):
        with pytest.raises(ValueError, match="second dimension"):
            from_torch(linear, flatten={key: sizes})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="fc: got a list, wanted a tensor or an array"):
        from_torch({"fc": [1.0]})
