"""Maximum pooling in Python.

y[n, oh, ow, c] = max over kh, kw of
    x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c]
over the elements inside x, all NHWC. argmax (int32, of y's shape) is where it was:
kh * kernel_w + kw. The first NaN of a window wins, else the first maximum. A window wholly in the
padding gives -infinity and -1. `convsmith check --kernel` on this folder holds it against the
truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.ops.shapes import Pool2dShape
from convsmith.workbench import Kernel


def max_pool2d_forward(shape: Pool2dShape, x: Array, y: Array, argmax: Array) -> None:
    s = shape
    y[...] = -np.inf
    argmax[...] = -1
    for kh in range(s.kernel_h):
        rows = np.arange(s.out_h) * s.stride_h - s.pad_top + kh * s.dilation_h
        for kw in range(s.kernel_w):
            columns = np.arange(s.out_w) * s.stride_w - s.pad_left + kw * s.dilation_w
            inside = ((rows >= 0) & (rows < s.in_h))[:, None, None] & (
                (columns >= 0) & (columns < s.in_w)
            )[:, None]
            seen = x[:, rows.clip(0, s.in_h - 1)][:, :, columns.clip(0, s.in_w - 1)]
            # "Not at most" is true of a NaN; once y is one, nothing replaces it.
            better = inside & ((argmax < 0) | (~(seen <= y) & (y == y)))
            y[...] = np.where(better, seen, y)
            argmax[...] = np.where(better, kh * s.kernel_w + kw, argmax)


kernel = Kernel(op="max_pool2d_forward", source=max_pool2d_forward)
