"""Pooling of NHWC arrays: sliding windows, adaptive windows, and the whole image."""

from __future__ import annotations

from convsmith.arrays import Array
from convsmith.nn.layer import Cache, Layer, check_nhwc, need_cache
from convsmith.ops.geometry import IntOrPair, Padding, as_pads, as_pair, check_pairs
from convsmith.ops.pool2d import (
    adaptive_avg_pool2d_backward_input,
    adaptive_avg_pool2d_forward,
    avg_pool2d_backward_input,
    avg_pool2d_forward,
    max_pool2d_backward_input,
    max_pool2d_forward,
)
from convsmith.ops.shapes import Pool2dShape, Resample2dShape


class _Pool(Layer):
    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None,
        padding: Padding,
        dilation: IntOrPair,
        ceil_mode: bool,
    ) -> None:
        name = type(self).__name__
        self.kernel_size = as_pair(name, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else as_pair(name, "stride", stride)
        self.dilation = as_pair(name, "dilation", dilation)
        check_pairs(
            name, 1, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation
        )
        self.padding = as_pads(name, padding)
        self.ceil_mode = bool(ceil_mode)

    def _shape(self, x: Array) -> Pool2dShape:
        check_nhwc(self.label, x)
        return Pool2dShape.infer(
            x.shape,
            kernel=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            op=self.label,
        )


class MaxPool2d(_Pool):
    """The maximum of each window; NaN propagates, the first maximum takes the gradient.

    stride defaults to kernel_size; padding as for Conv2d; ceil_mode as in PyTorch.
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)
        self.describe(
            kernel_size,
            stride=(stride, None),
            padding=(padding, 0),
            dilation=(dilation, 1),
            ceil_mode=(ceil_mode, False),
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        shape = self._shape(x)
        y, argmax = max_pool2d_forward(x, shape, with_argmax=training)
        return y, ((argmax, shape) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        argmax, shape = cache
        return max_pool2d_backward_input(dy, argmax, shape) if input_grad else None


class AvgPool2d(_Pool):
    """The mean of each window; padding counts as zeros unless count_include_pad=False."""

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.describe(
            kernel_size,
            stride=(stride, None),
            padding=(padding, 0),
            ceil_mode=(ceil_mode, False),
            count_include_pad=(count_include_pad, True),
        )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        shape = self._shape(x)
        y = avg_pool2d_forward(x, shape, count_include_pad=self.count_include_pad)
        return y, (shape if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        return avg_pool2d_backward_input(dy, cache, count_include_pad=self.count_include_pad)


class AdaptiveAvgPool2d(Layer):
    """Means over windows [floor(i * in / out), ceil((i + 1) * in / out)), giving output_size."""

    def __init__(self, output_size: IntOrPair) -> None:
        self.output_size = as_pair("AdaptiveAvgPool2d", "output_size", output_size)
        check_pairs("AdaptiveAvgPool2d", 1, output_size=self.output_size)
        self.describe(output_size)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc(self.label, x)
        shape = Resample2dShape.infer(x.shape, self.output_size, op=self.label)
        y = adaptive_avg_pool2d_forward(x, shape)
        return y, (shape if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        return adaptive_avg_pool2d_backward_input(dy, cache) if input_grad else None


class GlobalAvgPool2d(Layer):
    """The mean over height and width: [N, H, W, C] to [N, C]."""

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc("GlobalAvgPool2d", x)
        shape = Resample2dShape.infer(x.shape, 1, op="GlobalAvgPool2d")
        y: Array = adaptive_avg_pool2d_forward(x, shape)
        return y.reshape(shape.batch, shape.channels), (shape if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        return adaptive_avg_pool2d_backward_input(dy.reshape(cache.y_shape), cache)


class GlobalMaxPool2d(Layer):
    """The maximum over height and width: [N, H, W, C] to [N, C]; as MaxPool2d otherwise."""

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Cache]:
        check_nhwc("GlobalMaxPool2d", x)
        shape = Pool2dShape.infer(x.shape, kernel=x.shape[1:3], op="GlobalMaxPool2d")
        y, argmax = max_pool2d_forward(x, shape, with_argmax=training)
        return y.reshape(shape.batch, shape.channels), ((argmax, shape) if training else None)

    def backward(self, dy: Array, cache: Cache, input_grad: bool = True) -> Array | None:
        need_cache(self, cache)
        if not input_grad:
            return None
        argmax, shape = cache
        return max_pool2d_backward_input(dy.reshape(shape.y_shape), argmax, shape)
