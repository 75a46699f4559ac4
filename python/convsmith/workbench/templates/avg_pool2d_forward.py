"""Average pooling in Python.

y[n, oh, ow, c] = the sum over kh, kw of
    x[n, oh * stride_h - pad_top + kh, ow * stride_w - pad_left + kw, c]
divided by the number of elements that count, all NHWC: with count_include_pad those inside the
input and its padding, else those inside the input alone. x is zero outside its borders; a window
with no element of the input gives 0. `convsmith check --kernel` on this folder holds it against the
truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.ops.shapes import Pool2dShape
from convsmith.workbench import Kernel


def avg_pool2d_forward(shape: Pool2dShape, count_include_pad: bool, x: Array, y: Array) -> None:
    s = shape
    counted = np.zeros((s.out_h, s.out_w, 1), np.float32)
    y[...] = 0
    for kh in range(s.kernel_h):
        rows = (np.arange(s.out_h) * s.stride_h - s.pad_top + kh)[:, None, None]
        for kw in range(s.kernel_w):
            columns = (np.arange(s.out_w) * s.stride_w - s.pad_left + kw)[:, None]
            inside = (rows >= 0) & (rows < s.in_h) & (columns >= 0) & (columns < s.in_w)
            seen = x[:, rows[:, 0, 0].clip(0, s.in_h - 1)][:, :, columns[:, 0].clip(0, s.in_w - 1)]
            y += np.where(inside, seen, 0)
            if count_include_pad:  # beyond the padding nothing counts
                inside = (rows < s.in_h + s.pad_bottom) & (columns < s.in_w + s.pad_right)
            counted += inside
    y /= np.maximum(counted, 1)


kernel = Kernel(op="avg_pool2d_forward", source=avg_pool2d_forward)
