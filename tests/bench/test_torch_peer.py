"""The PyTorch call that is timed is the one a user would make."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

# Before torch, as the module wants it.
from convsmith.bench.peers import torch_peer  # isort: skip
import torch

from convsmith.bench.cold import Ring
from convsmith.bench.work import Work
from convsmith.bench.works import CONVOLUTIONS, works


def some(op: str) -> Work:
    return next(w for w in works(["resnet18"], [2]) if w.op == op and w.uses[0].layer != "conv1")


def watched(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[dict[str, Any]]:
    """Notes what each call of owner.name is given, and in which state."""
    real, seen = getattr(owner, name), []

    def call(*arguments: Any, **keywords: Any) -> Any:
        tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
        seen.append(
            {
                "tensors": tensors,
                "grad": torch.is_grad_enabled(),
                "threads": torch.get_num_threads(),
            }
        )
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, name, call)
    return seen


@pytest.mark.parametrize("name", ["torch channels_last", "torch contiguous"])
def test_memory_format_threads_and_no_tape(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen = watched(monkeypatch, torch.nn.functional, "conv2d")
    work = some("conv2d_forward")
    before = torch.get_num_threads()
    torch_peer.set_threads(1)
    try:
        (contender,) = (c for c in torch_peer.contenders(work, "float32", False) if c.name == name)
        inputs = Ring("float32", 1 << 16).take(contender.shapes(work))
        y = contender.bind(inputs)()
    finally:
        torch.set_num_threads(before)
    (call,) = seen
    last = name.endswith("channels_last")
    form = torch.channels_last if last else torch.contiguous_format
    assert not call["grad"] and call["threads"] == 1
    for tensor, array in zip(call["tensors"], inputs, strict=True):
        assert tensor.is_contiguous(memory_format=form)
        assert tensor.data_ptr() == array.__array_interface__["data"][0]  # no copy
        assert tensor.dtype is torch.float32
    x, weight = (i.shape for i in work.inputs)
    assert tuple(call["tensors"][0].shape) == (x[0], x[3], x[1], x[2])
    assert tuple(call["tensors"][1].shape) == (weight[0], weight[3], weight[1], weight[2])
    assert not y.requires_grad and y.is_contiguous(memory_format=form)


@pytest.mark.parametrize("op", CONVOLUTIONS[1:])
def test_backward_asks_for_one_gradient_in_the_same_format(op: str) -> None:
    work = some(op)
    for contender in torch_peer.contenders(work, "float32", False):
        found = contender.bind(Ring("float32", 1 << 16).take(contender.shapes(work)))()
        last = contender.name.endswith("channels_last")
        form = torch.channels_last if last else torch.contiguous_format
        assert isinstance(found, torch.Tensor) and found.is_contiguous(memory_format=form)


def test_the_backward_is_the_one_that_autograd_runs() -> None:
    work = some("conv2d_backward_weight")
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(i.shape).astype(np.float32) for i in work.inputs)
    found = torch_peer.contenders(work, "float32", False)[0].bind((x, dy))()
    s = work.shape
    weight = torch.zeros(s.out_c, s.in_c // s.groups, s.kernel_h, s.kernel_w, requires_grad=True)
    as_nchw = [torch.from_numpy(a).permute(0, 3, 1, 2) for a in (x, dy)]
    y = torch.nn.functional.conv2d(
        as_nchw[0], weight, None, (s.stride_h, s.stride_w), (s.pad_top, s.pad_left), 1, s.groups
    )
    y.backward(as_nchw[1])
    assert torch.allclose(found, weight.grad, rtol=1e-4, atol=1e-4)


def test_a_training_step_keeps_its_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    (work,) = works(["demo"], [1])
    steps = watched(monkeypatch, torch.nn.functional, "conv2d")
    seen = watched(monkeypatch, torch.Tensor, "backward")
    for contender in torch_peer.contenders(work, "float32", False):
        call = contender.bind(Ring("float32", 1 << 16).take(work.inputs))
        assert call() != call()  # it learns
    assert len(seen) == 4 and all(step["grad"] for step in seen) and steps is not None


def test_huge_pages_are_asked_for() -> None:
    assert os.environ["THP_MEM_ALLOC_ENABLE"] in ("0", "1")
    assert torch_peer.describe()["torch_huge_pages"] == (os.environ["THP_MEM_ALLOC_ENABLE"] == "1")


def test_bfloat16_reaches_torch_as_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    found = torch_peer.tensor(array, False)
    assert found.dtype is torch.bfloat16 and found.tolist() == [[0, 1, 2], [3, 4, 5]]
