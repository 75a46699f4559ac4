"""Upsampling of NHWC arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convsmith.arrays import Array
from convsmith.nn.layer import Cache, Layer, check_nhwc, need_cache
from convsmith.ops.geometry import IntOrPair, as_pair, check_pairs
from convsmith.ops.shapes import Resample2dShape
from convsmith.ops.upsample2d import (
    upsample_bilinear2d_backward_input,
    upsample_bilinear2d_forward,
    upsample_nearest2d_backward_input,
    upsample_nearest2d_forward,
)


class Upsample(Layer):
    """Resizes height and width to ``size``, or to floor(in * scale_factor).

    mode is "nearest" or "bilinear"; align_corners is for bilinear alone. Positions are those of
    torch.nn.functional.interpolate called with size=, also where a scale_factor was given.
    """

    def __init__(
        self,
        size: IntOrPair | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f'Upsample: mode: got {mode!r}, wanted "nearest" or "bilinear"')
        if align_corners and mode == "nearest":
            raise ValueError('Upsample: align_corners: got True, which needs mode="bilinear"')
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"Upsample: got size={size} and scale_factor={scale_factor}, wanted one of the two"
            )
        self.mode = mode
        self.align_corners = bool(align_corners)
        self.size: tuple[int, int] | None = None
        self.scale: tuple[float, float] = (1.0, 1.0)
        if size is not None:
            self.size = as_pair("Upsample", "size", size)
            check_pairs("Upsample", 1, size=self.size)
        elif scale_factor is not None:
            self.scale = _scales(scale_factor)
        self.describe(
            size=(size, None),
            scale_factor=(scale_factor, None),
            mode=(mode, "nearest"),
            align_corners=(align_corners, False),
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc(self.label, x)
        size = self.size
        if size is None:
            size = (math.floor(x.shape[1] * self.scale[0]), math.floor(x.shape[2] * self.scale[1]))
        shape = Resample2dShape.infer(x.shape, size, op=self.label)
        if self.mode == "nearest":
            y = upsample_nearest2d_forward(x, shape)
        else:
            y = upsample_bilinear2d_forward(x, shape, align_corners=self.align_corners)
        return y, (shape if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        if self.mode == "nearest":
            return upsample_nearest2d_backward_input(dy, cache)
        return upsample_bilinear2d_backward_input(dy, cache, align_corners=self.align_corners)


def _scales(scale_factor: float | Sequence[float]) -> tuple[float, float]:
    pair = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
    if len(pair) != 2 or not all(math.isfinite(scale) and scale > 0 for scale in pair):
        raise ValueError(
            f"Upsample: scale_factor: got {scale_factor}, wanted a positive number or two"
        )
    return (float(pair[0]), float(pair[1]))
