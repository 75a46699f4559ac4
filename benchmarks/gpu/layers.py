"""The convolutions of ResNet-50 against cuDNN and products against cuBLAS, both through PyTorch.

PyTorch runs channels_last with cudnn.benchmark on and TF32 off, so that both sides accumulate
alike; its plain NCHW time is a row of its own. Inputs are random; the L2 cache is cold.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import cupy
import torch

from convsmith.arrays import float_dtype
from convsmith.backends import native_cuda
from convsmith.bench.layers import conv_layers
from convsmith.ops.epilogue import NO_EPILOGUE
from convsmith.ops.shapes import Conv2dShape, GemmShape
from gpu.timing import time_ms

BATCH = 64
TILE_ROWS = 4  # of csrc/cuda/tile_table.h
SPLITS = (1, 2, 4, 8, 16)
LIMITS = {"float32": 1e-4, "bfloat16": 1e-2, "float16": 2e-3}

torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def _as_cupy(tensor: Any) -> Any:
    """The same memory; bfloat16, which DLPack does not carry to CuPy, goes as its bits."""
    if tensor.dtype is torch.bfloat16:
        return cupy.from_dlpack(tensor.view(torch.int16)).view(float_dtype("bfloat16"))
    return cupy.from_dlpack(tensor)


def _tensors(shape: Conv2dShape, dtype: str) -> tuple[Any, Any, Any]:
    """x, weight, dy in our layout."""
    sizes = (shape.x_shape, shape.weight_shape, shape.y_shape)
    generator = torch.Generator("cuda").manual_seed(0)
    kind = getattr(torch, dtype)
    x, weight, dy = (torch.randn(s, generator=generator, device="cuda").to(kind) for s in sizes)
    return x, weight, dy


def _ours(
    direction: str, arrays: Sequence[Any], shape: Conv2dShape, algorithm: str
) -> Callable[[], None]:
    """arrays are x, weight, dy and the output."""
    x, weight, dy, out = arrays
    if direction == "conv2d_forward":
        return lambda: native_cuda.conv2d_forward(
            x, weight, out, shape, NO_EPILOGUE, algorithm=algorithm
        )
    if direction == "conv2d_backward_input":
        return lambda: native_cuda.conv2d_backward_input(
            dy, weight, out, shape, algorithm=algorithm
        )
    return lambda: native_cuda.conv2d_backward_weight(x, dy, out, shape, algorithm=algorithm)


def _theirs(direction: str, tensors: Sequence[Any], shape: Conv2dShape) -> Callable[[], Any]:
    """tensors are x, weight and dy in NCHW, of either memory format."""
    x, weight, dy = tensors
    stride, dilation = (shape.stride_h, shape.stride_w), (shape.dilation_h, shape.dilation_w)
    padding, groups = (shape.pad_top, shape.pad_left), shape.groups
    if direction == "conv2d_forward":
        return lambda: torch.nn.functional.conv2d(
            x, weight, None, stride, padding, dilation, groups
        )
    index = 0 if direction == "conv2d_backward_input" else 1
    mask = [index == 0, index == 1, False]
    return lambda: torch.ops.aten.convolution_backward(
        *(dy, x, weight, None, stride, padding, dilation, False, (0, 0), groups, mask)
    )[index]


def _layer(item: str) -> tuple[str, str, Conv2dShape]:
    """'NAME DIRECTION DTYPE' of ResNet-50."""
    name, direction, dtype = item.split()
    (layer,) = (layer for layer in conv_layers("resnet50") if layer.name == name)
    return direction, dtype, layer.shape(BATCH)


def time_layer(item: str) -> dict[str, Any]:
    """Ours, cuDNN channels_last and cuDNN NCHW; the result is compared with cuDNN's first."""
    direction, dtype, shape = _layer(item)
    x, weight, dy = tensors = _tensors(shape, dtype)
    result = {"forward": dy, "input": x, "weight": weight}[direction.rpartition("_")[2]]
    out = torch.empty_like(result)
    ours = _ours(direction, [_as_cupy(t) for t in (*tensors, out)], shape, "auto")
    channels_last = [tensor.permute(0, 3, 1, 2) for tensor in tensors]
    theirs = _theirs(direction, channels_last, shape)
    ours()
    expected = theirs().permute(0, 2, 3, 1).float()
    error = float((out.float() - expected).norm() / expected.norm())
    times = {"convsmith": time_ms(ours), "cudnn": time_ms(theirs)}
    nchw = [tensor.contiguous() for tensor in channels_last]
    times["cudnn nchw"] = time_ms(_theirs(direction, nchw, shape), repeats=7)
    return {
        "ok": error < LIMITS[dtype],
        "error": "" if error < LIMITS[dtype] else f"differs from cuDNN by {error:.1e} of the norm",
        "distance": error,
        "ms": times,
        "ratio": times["cudnn"] / times["convsmith"],
        "tflop_per_s": 2 * shape.macs / times["convsmith"] / 1e9,
    }


def time_gemm(item: str) -> dict[str, Any]:
    """'SIZE DTYPE': a square product against cuBLAS."""
    text, dtype = item.split()
    size = int(text)
    a, b = (torch.randn(size, size, device="cuda").to(getattr(torch, dtype)) for _ in range(2))
    c, peer = torch.empty_like(a), torch.empty_like(a)
    shape = GemmShape.infer(a.shape, b.shape)
    left, right, to = (_as_cupy(tensor) for tensor in (a, b, c))

    def ours() -> None:
        native_cuda.gemm(left, right, to, shape, NO_EPILOGUE, alpha=1.0, beta=0.0)

    def theirs() -> None:
        torch.mm(a, b, out=peer)

    ours()
    theirs()
    error = float((c.float() - peer.float()).norm() / peer.float().norm())
    times = {"convsmith": time_ms(ours), "cublas": time_ms(theirs)}
    return {
        "ok": error < LIMITS[dtype],
        "error": "" if error < LIMITS[dtype] else f"differs from cuBLAS by {error:.1e} of the norm",
        "distance": error,
        "ms": times,
        "ratio": times["cublas"] / times["convsmith"],
        "tflop_per_s": 2 * shape.macs / times["convsmith"] / 1e9,
    }


def sweep(item: str) -> dict[str, Any]:
    """Every tile of the table, with and without a split of the depth, against the module's choice.

    'NAME DIRECTION DTYPE' as time_layer.
    """
    direction, dtype, shape = _layer(item)
    x, weight, dy = tensors = _tensors(shape, dtype)
    result = {"forward": dy, "input": x, "weight": weight}[direction.rpartition("_")[2]]
    arrays = [_as_cupy(tensor) for tensor in (*tensors, torch.empty_like(result))]
    run = _ours(direction, arrays, shape, "auto")
    module = importlib.import_module("convsmith._cuda")
    times = {"auto": time_ms(run, repeats=9)}
    try:
        for row in range(TILE_ROWS):
            for splits in SPLITS:
                module.force_tile(row, splits)
                times[f"tile {row}, {splits} splits"] = time_ms(run, repeats=5, warmups=1)
    finally:
        module.force_tile(-1, 0)
    best = min(times, key=lambda name: times[name])
    return {"ms": times, "best": best, "auto_over_best": times["auto"] / times[best]}
