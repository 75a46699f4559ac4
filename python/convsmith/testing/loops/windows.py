"""Pooling and upsampling, one element of the output at a time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from convsmith.ops.shapes import Pool2dShape, Resample2dShape

Array = npt.NDArray[Any]


def _place(s: Pool2dShape, i: int, j: int, kh: int, kw: int) -> tuple[int, int]:
    """Row and column of the input that tap (kh, kw) of output (i, j) meets, maybe outside."""
    h = i * s.stride_h + kh * s.dilation_h - s.pad_top
    w = j * s.stride_w + kw * s.dilation_w - s.pad_left
    return h, w


def max_pool2d_forward(x: Array, y: Array, argmax: Array | None, shape: Pool2dShape) -> None:
    s = shape
    for n, i, j, c in np.ndindex(y.shape):
        winner, best = None, -math.inf
        for kh, kw in np.ndindex(s.kernel_h, s.kernel_w):
            h, w = _place(s, i, j, kh, kw)
            if not (0 <= h < s.in_h and 0 <= w < s.in_w):
                continue
            value = float(x[n, h, w, c])
            if winner is None or value > best or math.isnan(value):
                winner, best = kh * s.kernel_w + kw, value
            if math.isnan(best):
                break
        y[n, i, j, c] = best
        if argmax is not None:
            none = 255 if argmax.dtype == np.uint8 else -1
            argmax[n, i, j, c] = none if winner is None else winner


def max_pool2d_backward_input(dy: Array, argmax: Array, dx: Array, shape: Pool2dShape) -> None:
    s = shape
    dx[...] = 0.0
    none = 255 if argmax.dtype == np.uint8 else -1
    for n, i, j, c in np.ndindex(dy.shape):
        winner = int(argmax[n, i, j, c])
        if winner != none:
            h, w = _place(s, i, j, winner // s.kernel_w, winner % s.kernel_w)
            dx[n, h, w, c] += float(dy[n, i, j, c])


def _members(
    s: Pool2dShape, i: int, j: int, count_include_pad: bool
) -> tuple[list[tuple[int, int]], int]:
    """The elements of the window inside the input, and what their sum is divided by."""
    members, declared = [], 0
    for kh, kw in np.ndindex(s.kernel_h, s.kernel_w):
        h, w = _place(s, i, j, kh, kw)
        if 0 <= h < s.in_h and 0 <= w < s.in_w:
            members.append((h, w))
        if h < s.in_h + s.pad_bottom and w < s.in_w + s.pad_right:
            declared += 1
    return members, declared if count_include_pad else len(members)


def avg_pool2d_forward(x: Array, y: Array, shape: Pool2dShape, *, count_include_pad: bool) -> None:
    for n, i, j, c in np.ndindex(y.shape):
        members, divisor = _members(shape, i, j, count_include_pad)
        total = math.fsum(float(x[n, h, w, c]) for h, w in members)
        y[n, i, j, c] = total / divisor if members else 0.0


def avg_pool2d_backward_input(
    dy: Array, dx: Array, shape: Pool2dShape, *, count_include_pad: bool
) -> None:
    dx[...] = 0.0
    for n, i, j, c in np.ndindex(dy.shape):
        members, divisor = _members(shape, i, j, count_include_pad)
        for h, w in members:
            dx[n, h, w, c] += float(dy[n, i, j, c]) / divisor


def _adaptive(size: int, out: int, i: int) -> range:
    return range(math.floor(Fraction(i * size, out)), math.ceil(Fraction((i + 1) * size, out)))


def adaptive_avg_pool2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    for n, i, j, c in np.ndindex(y.shape):
        rows, columns = _adaptive(shape.in_h, shape.out_h, i), _adaptive(shape.in_w, shape.out_w, j)
        total = math.fsum(float(x[n, h, w, c]) for h in rows for w in columns)
        y[n, i, j, c] = total / (len(rows) * len(columns))


def adaptive_avg_pool2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    dx[...] = 0.0
    for n, i, j, c in np.ndindex(dy.shape):
        rows, columns = _adaptive(shape.in_h, shape.out_h, i), _adaptive(shape.in_w, shape.out_w, j)
        for h in rows:
            for w in columns:
                dx[n, h, w, c] += float(dy[n, i, j, c]) / (len(rows) * len(columns))


def _nearest(size: int, out: int, i: int) -> int:
    return math.floor(Fraction(i * size, out))


def upsample_nearest2d_forward(x: Array, y: Array, shape: Resample2dShape) -> None:
    for n, i, j, c in np.ndindex(y.shape):
        h, w = _nearest(shape.in_h, shape.out_h, i), _nearest(shape.in_w, shape.out_w, j)
        y[n, i, j, c] = float(x[n, h, w, c])


def upsample_nearest2d_backward_input(dy: Array, dx: Array, shape: Resample2dShape) -> None:
    dx[...] = 0.0
    for n, i, j, c in np.ndindex(dy.shape):
        h, w = _nearest(shape.in_h, shape.out_h, i), _nearest(shape.in_w, shape.out_w, j)
        dx[n, h, w, c] += float(dy[n, i, j, c])


def _neighbours(size: int, out: int, i: int, align_corners: bool) -> list[tuple[int, float]]:
    """The source elements of output i and their weights, in exact fractions until the end."""
    if align_corners:
        source = Fraction(i * (size - 1), out - 1) if out > 1 else Fraction(0)
    else:
        source = max(Fraction(2 * i + 1, 2) * Fraction(size, out) - Fraction(1, 2), Fraction(0))
    low = math.floor(source)
    high = min(low + 1, size - 1)
    return [(low, float(1 - (source - low))), (high, float(source - low))]


def upsample_bilinear2d_forward(
    x: Array, y: Array, shape: Resample2dShape, *, align_corners: bool
) -> None:
    for n, i, j, c in np.ndindex(y.shape):
        total = 0.0
        for h, down in _neighbours(shape.in_h, shape.out_h, i, align_corners):
            for w, across in _neighbours(shape.in_w, shape.out_w, j, align_corners):
                total += down * across * float(x[n, h, w, c])
        y[n, i, j, c] = total


def upsample_bilinear2d_backward_input(
    dy: Array, dx: Array, shape: Resample2dShape, *, align_corners: bool
) -> None:
    dx[...] = 0.0
    for n, i, j, c in np.ndindex(dy.shape):
        for h, down in _neighbours(shape.in_h, shape.out_h, i, align_corners):
            for w, across in _neighbours(shape.in_w, shape.out_w, j, align_corners):
                dx[n, h, w, c] += down * across * float(dy[n, i, j, c])
