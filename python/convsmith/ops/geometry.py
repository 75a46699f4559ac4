"""Checks that the geometries in shapes.py are built from; every error names op and argument."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

from convsmith.arrays import Shape

IntOrPair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]
Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[Pair, Pair]

MAX_EXTENT = 2**31 - 1  # any dimension, padding, stride, padded size or dilated window
MAX_ELEMENTS = (2**63 - 1) // 8  # any tensor; 8 bytes is the widest element there is


def as_int(op: str, name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise TypeError(
            f"{op}: {name}: got {value!r} of type {type(value).__name__}, wanted an int"
        ) from None


def as_ints(op: str, name: str, shape: Sequence[int]) -> Shape:
    try:
        return tuple(map(index, shape))
    except TypeError:
        raise TypeError(
            f"{op}: {name}: got shape {shape!r}, wanted a sequence of ints; pass {name}.shape"
        ) from None


def as_pair(op: str, name: str, value: IntOrPair) -> Pair:
    if isinstance(value, int):
        return (value, value)
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{op}: {name}: got {value!r}, wanted an int or (h, w)")
        return (as_int(op, name, value[0]), as_int(op, name, value[1]))
    one = as_int(op, name, value)
    return (one, one)


def as_pads(op: str, padding: Padding) -> Pads | str:
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(f'{op}: padding: got {padding!r}; the only word for padding is "same"')
        return padding
    if isinstance(padding, (tuple, list)):
        if len(padding) != 2:
            raise ValueError(
                f"{op}: padding: got {padding!r}, wanted an int, (h, w), "
                '((top, bottom), (left, right)) or "same"'
            )
        return (as_pair(op, "padding", padding[0]), as_pair(op, "padding", padding[1]))
    one = as_int(op, "padding", padding)
    return ((one, one), (one, one))


def check_range(op: str, name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{op}: {name}: got {value}, wanted at least {least}")
    if value > MAX_EXTENT:
        raise ValueError(f"{op}: {name}: got {value}, wanted at most 2^31 - 1 = {MAX_EXTENT}")


def check_pairs(op: str, least: int, **pairs: Pair) -> None:
    for name, (h, w) in pairs.items():
        check_range(op, f"{name} (height)", h, least)
        check_range(op, f"{name} (width)", w, least)


def check_elements(op: str, name: str, shape: Shape) -> None:
    elements = 1
    for size in shape:
        elements *= size
    if elements > MAX_ELEMENTS:
        raise ValueError(
            f"{op}: {name}: shape {shape} has {elements} elements, wanted at most {MAX_ELEMENTS} "
            "(2^63 - 1 bytes)"
        )


def check_nhwc(op: str, shape: Shape) -> None:
    if len(shape) != 4:
        raise ValueError(
            f"{op}: x: got shape {shape}, wanted 4 dimensions [batch, height, width, channels]"
        )
    for name, size, least in zip(
        ("batch", "height", "width", "channels"), shape, (0, 1, 1, 1), strict=True
    ):
        check_range(op, f"x: shape {shape}: {name}", size, least)
    check_elements(op, "x", shape)


def check_weight(op: str, weight: Shape, layout: str) -> None:
    if len(weight) != 4:
        raise ValueError(f"{op}: weight: got shape {weight}, wanted 4 dimensions {layout}")
    for size in weight:
        check_range(op, f"weight: shape {weight}: dimension", size, 1)
    check_elements(op, "weight", weight)


def window_extent(op: str, kernel: Pair, dilation: Pair) -> Pair:
    """The extent of the dilated kernel."""
    window = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
    for side, extent, k, d in zip(("height", "width"), window, kernel, dilation, strict=True):
        if extent > MAX_EXTENT:
            raise ValueError(
                f"{op}: dilation ({side}): got {d} with a kernel of {k}: a window of {extent}, "
                f"wanted at most 2^31 - 1 = {MAX_EXTENT}"
            )
    return window


def padded_extent(op: str, size: Pair, pads: Pads) -> Pair:
    for side, (before, after) in zip(("height", "width"), pads, strict=True):
        check_range(op, f"padding ({side})", before, 0)
        check_range(op, f"padding ({side})", after, 0)
    padded = (size[0] + sum(pads[0]), size[1] + sum(pads[1]))
    for side, extent in zip(("height", "width"), padded, strict=True):
        if extent > MAX_EXTENT:
            raise ValueError(
                f"{op}: padding ({side}): got {pads}: a padded input of {extent}, "
                f"wanted at most 2^31 - 1 = {MAX_EXTENT}"
            )
    return padded


def check_out(op: str, out: Pair, x_shape: Shape, window: Pair, stride: Pair, pads: Pads) -> None:
    if out[0] < 1 or out[1] < 1:
        raise ValueError(
            f"{op}: x: got shape {x_shape}, whose output would be {out[0]} x {out[1]}: the window "
            f"of {window[0]} x {window[1]} (dilation included) does not fit the input padded by "
            f"{pads} at stride {stride}; wanted an output of at least 1 x 1: use a larger input, "
            "more padding or a smaller kernel"
        )


def check_positions(op: str, kernel: Pair) -> None:
    """A position inside the window must fit an int32 argmax."""
    if kernel[0] * kernel[1] > MAX_EXTENT:
        raise ValueError(
            f"{op}: kernel: got {kernel}, wanted at most 2^31 - 1 = {MAX_EXTENT} positions in it"
        )


def check_output_padding(op: str, output_padding: Pair, stride: Pair, pads: Pads | str) -> None:
    check_pairs(op, 0, output_padding=output_padding)
    if isinstance(pads, str):
        if output_padding != (0, 0):
            raise ValueError(
                f'{op}: output_padding: got {output_padding}, wanted 0 with padding="same", whose '
                "output is always in * stride"
            )
    elif output_padding[0] >= stride[0] or output_padding[1] >= stride[1]:
        raise ValueError(
            f"{op}: output_padding: got {output_padding}, wanted less than the stride {stride}"
        )


def nothing_left(op: str, x_shape: Shape, grown: Pair, pads: Pads) -> ValueError:
    return ValueError(
        f"{op}: padding: got {pads}, which leaves nothing of an output of {grown[0]} x {grown[1]} "
        f"for x of shape {x_shape}; wanted an output of at least 1 x 1: use less padding"
    )
