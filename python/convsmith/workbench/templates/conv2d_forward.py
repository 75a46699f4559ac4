"""A convolution in Python.

y[n, oh, ow, oc] = sum over kh, kw, c of
    x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c]
    * weight[oc, kh, kw, c]
where x is zero outside its borders and c runs over the channels of oc's group. x and y are NHWC,
weight is [out_c, kernel_h, kernel_w, in_c / groups]. Bias, residual and activation are applied
outside. `convsmith check --kernel` on this folder holds it against the truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.ops.shapes import Conv2dShape
from convsmith.workbench import Kernel


def conv2d_forward(shape: Conv2dShape, x: Array, weight: Array, y: Array) -> None:
    s = shape
    border = ((s.pad_top, s.pad_bottom), (s.pad_left, s.pad_right))
    padded = np.pad(x, ((0, 0), *border, (0, 0)))
    y[...] = 0
    for kh in range(s.kernel_h):
        top = kh * s.dilation_h
        rows = slice(top, top + (s.out_h - 1) * s.stride_h + 1, s.stride_h)
        for kw in range(s.kernel_w):
            left = kw * s.dilation_w
            columns = slice(left, left + (s.out_w - 1) * s.stride_w + 1, s.stride_w)
            seen = padded[:, rows, columns]  # what this tap meets: [batch, out_h, out_w, in_c]
            for group in range(s.groups):
                channels = slice(group * s.in_c // s.groups, (group + 1) * s.in_c // s.groups)
                outs = slice(group * s.out_c // s.groups, (group + 1) * s.out_c // s.groups)
                y[..., outs] += seen[..., channels] @ weight[outs, kh, kw].T


kernel = Kernel(op="conv2d_forward", source=conv2d_forward)
