"""The gradient of a convolution's weight, in Python.

dweight[oc, kh, kw, c] = sum over n, oh, ow of
    x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c]
    * dy[n, oh, ow, oc]
where x is zero outside its borders and c counts from the first channel of oc's group. Layouts as
in conv2d_forward: NHWC, and weight [out_c, kernel_h, kernel_w, in_c / groups].
`convsmith check --kernel` on this folder holds it against the truth.
"""

import numpy as np

from convsmith.arrays import Array
from convsmith.ops.shapes import Conv2dShape
from convsmith.workbench import Kernel


def conv2d_backward_weight(shape: Conv2dShape, x: Array, dy: Array, dweight: Array) -> None:
    s = shape
    border = ((s.pad_top, s.pad_bottom), (s.pad_left, s.pad_right))
    padded = np.pad(x, ((0, 0), *border, (0, 0)))
    gradient = dy.reshape(-1, s.out_c).T
    for kh in range(s.kernel_h):
        top = kh * s.dilation_h
        rows = slice(top, top + (s.out_h - 1) * s.stride_h + 1, s.stride_h)
        for kw in range(s.kernel_w):
            left = kw * s.dilation_w
            columns = slice(left, left + (s.out_w - 1) * s.stride_w + 1, s.stride_w)
            seen = padded[:, rows, columns].reshape(-1, s.in_c)
            for group in range(s.groups):
                channels = slice(group * s.in_c // s.groups, (group + 1) * s.in_c // s.groups)
                outs = slice(group * s.out_c // s.groups, (group + 1) * s.out_c // s.groups)
                dweight[outs, kh, kw] = gradient[outs] @ seen[:, channels]


kernel = Kernel(op="conv2d_backward_weight", source=conv2d_backward_weight)
