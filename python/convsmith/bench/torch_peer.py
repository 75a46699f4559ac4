"""PyTorch's side of a comparison, on the CPU, in both memory formats.

Import this before anything imports torch: PyTorch reads its allocator's setting once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# Huge pages for large blocks: PyTorch's best setting, off by default.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import torch

from convsmith.arrays import Array
from convsmith.ops.shapes import Conv2dShape


def describe() -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "torch_huge_pages": os.environ["THP_MEM_ALLOC_ENABLE"] == "1",
    }


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def as_nchw(array: Array) -> Any:
    """The same memory as a channels_last tensor."""
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def conv2d(
    direction: str, x: Array, weight: Array, dy: Array, shape: Conv2dShape
) -> dict[str, Callable[[], Any]]:
    """One callable a memory format; the result of each is an NCHW tensor."""
    nhwc = tuple(as_nchw(array) for array in (x, weight, dy))
    nchw = tuple(tensor.contiguous() for tensor in nhwc)
    stride = (shape.stride_h, shape.stride_w)
    padding = (shape.pad_top, shape.pad_left)
    dilation = (shape.dilation_h, shape.dilation_w)

    def forward(x: Any, weight: Any, dy: Any) -> Any:
        return torch.nn.functional.conv2d(x, weight, None, stride, padding, dilation, shape.groups)

    def backward(index: int) -> Callable[[Any, Any, Any], Any]:
        mask = [index == 0, index == 1, False]

        def run(x: Any, weight: Any, dy: Any) -> Any:
            return torch.ops.aten.convolution_backward(
                dy, x, weight, None, stride, padding, dilation, False, (0, 0), shape.groups, mask
            )[index]

        return run

    run = {
        "conv2d_forward": forward,
        "conv2d_backward_input": backward(0),
        "conv2d_backward_weight": backward(1),
    }[direction]

    def bound(tensors: tuple[Any, ...]) -> Callable[[], Any]:
        def call() -> Any:
            with torch.no_grad():
                return run(*tensors)

        return call

    return {"torch channels_last": bound(nhwc), "torch contiguous": bound(nchw)}


def gemm(a: Array, b: Array, transpose_a: bool, transpose_b: bool) -> Callable[[], Any]:
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    left = left.T if transpose_a else left
    right = right.T if transpose_b else right
    out = torch.empty(left.shape[0], right.shape[1])
    return lambda: torch.mm(left, right, out=out)


def demo_steps(x: Array, labels: Array) -> dict[str, Callable[[], Any]]:
    """A training step of the demo network, in both memory formats, with the fused Adam."""

    def step(memory_format: Any) -> Callable[[], Any]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 32, 3),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(32, 64, 3),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(2304, 10),
        ).to(memory_format=memory_format)
        images = as_nchw(x).contiguous(memory_format=memory_format)
        targets = torch.from_numpy(labels)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        loss_of = torch.nn.CrossEntropyLoss()

        def run() -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(images), targets)
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    return {
        "torch channels_last": step(torch.channels_last),
        "torch contiguous": step(torch.contiguous_format),
    }
