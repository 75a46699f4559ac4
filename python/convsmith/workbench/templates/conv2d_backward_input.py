"""The gradient of a convolution's input, in Python.

dx[n, h, w, c] = sum over kh, kw, oc of dy[n, oh, ow, oc] * weight[oc, kh, kw, c], over those oh, ow
with oh * stride_h - pad_top + kh * dilation_h = h, and the same for w; oc runs over the output
channels of c's group. Layouts as in conv2d_forward: NHWC, and weight [out_c, kernel_h, kernel_w,
in_c / groups]. `convsmith check --kernel` on this folder holds it against the truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.ops.shapes import Conv2dShape
from convsmith.workbench import Kernel


def conv2d_backward_input(shape: Conv2dShape, dy: Array, weight: Array, dx: Array) -> None:
    s = shape
    height, width = s.pad_top + s.in_h + s.pad_bottom, s.pad_left + s.in_w + s.pad_right
    padded = np.zeros((s.batch, height, width, s.in_c), np.float32)
    for kh in range(s.kernel_h):
        top = kh * s.dilation_h
        rows = slice(top, top + (s.out_h - 1) * s.stride_h + 1, s.stride_h)
        for kw in range(s.kernel_w):
            left = kw * s.dilation_w
            columns = slice(left, left + (s.out_w - 1) * s.stride_w + 1, s.stride_w)
            met = padded[:, rows, columns]  # what this tap met: [batch, out_h, out_w, in_c]
            for group in range(s.groups):
                channels = slice(group * s.in_c // s.groups, (group + 1) * s.in_c // s.groups)
                outs = slice(group * s.out_c // s.groups, (group + 1) * s.out_c // s.groups)
                met[..., channels] += dy[..., outs] @ weight[outs, kh, kw]
    dx[...] = padded[:, s.pad_top : s.pad_top + s.in_h, s.pad_left : s.pad_left + s.in_w]


kernel = Kernel(op="conv2d_backward_input", source=conv2d_backward_input)
