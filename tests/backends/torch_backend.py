"""PyTorch on the CPU behind a backend's signatures, to hold the reference against it.

In the arrays' own precision: float64 arrays are computed in float64. Gradients come from
autograd wherever the op has the forward's inputs at hand, else from PyTorch's own backward
kernels. What PyTorch's pools refuse (padding as wide as the kernel, uneven padding) is padded
by hand first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

NAME = "torch"
aten = torch.ops.aten

# oneDNN's float32 convolutions crash on some of these geometries; PyTorch's own do not.
torch.backends.mkldnn.enabled = False
torch.set_num_threads(1)  # the cases are small: more threads only wait for one another


def algorithms(op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
    return ("direct",)


def supports(op: str, dtype: Any, shape: Any = None) -> bool:
    return op in globals()


def _t(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def _nchw(array: np.ndarray) -> torch.Tensor:
    return _t(array.transpose(0, 3, 1, 2)).contiguous()


def _nhwc(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def _gradient(y: torch.Tensor, x: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(y, x, dy)[0]


def _activate(x: torch.Tensor, kind: str, slope: float) -> torch.Tensor:
    table = {
        "identity": lambda: x,
        "relu": lambda: F.relu(x),
        "leaky_relu": lambda: F.leaky_relu(x, slope),
        "sigmoid": lambda: torch.sigmoid(x),
        "tanh": lambda: torch.tanh(x),
        "silu": lambda: F.silu(x),
        "hardswish": lambda: F.hardswish(x),
    }
    return table[kind]()


def _conv(x: torch.Tensor, weight: torch.Tensor, s: Any) -> torch.Tensor:
    padded = F.pad(x, (s.pad_left, s.pad_right, s.pad_top, s.pad_bottom))
    stride, dilation = (s.stride_h, s.stride_w), (s.dilation_h, s.dilation_w)
    return F.conv2d(padded, weight, stride=stride, dilation=dilation, groups=s.groups)


def _finish(y: np.ndarray, epilogue: Any) -> np.ndarray:
    total = _t(y)
    if epilogue.bias is not None:
        total = total + _t(epilogue.bias)
    if epilogue.residual is not None:
        total = total + _t(epilogue.residual)
    return _activate(total, epilogue.activation, epilogue.negative_slope).numpy()


def conv2d_forward(x, weight, y, shape, epilogue, *, algorithm="auto"):
    y[...] = _finish(_nhwc(_conv(_nchw(x), _nchw(weight), shape)), epilogue)


def conv2d_backward_input(dy, weight, dx, shape, *, algorithm="auto"):
    x = torch.zeros(
        (shape.batch, shape.in_c, shape.in_h, shape.in_w),
        dtype=_t(dy).dtype,
        requires_grad=True,
    )
    dx[...] = _nhwc(_gradient(_conv(x, _nchw(weight), shape), x, _nchw(dy)))


def conv2d_backward_weight(x, dy, dweight, shape, *, algorithm="auto"):
    weight = torch.zeros_like(_nchw(dweight)).requires_grad_()
    dweight[...] = _nhwc(_gradient(_conv(_nchw(x), weight, shape), weight, _nchw(dy)))


def conv2d_backward_bias(dy, dbias):
    dbias[...] = _t(dy).sum(dim=(0, 1, 2)).numpy()


def gemm(a, b, c, shape, epilogue, *, alpha, beta):
    left = _t(a).T if shape.transpose_a else _t(a)
    right = _t(b).T if shape.transpose_b else _t(b)
    total = alpha * (left @ right)
    if beta != 0:
        total = total + beta * _t(c)
    c[...] = _finish(total.numpy(), epilogue)


def _pool_pads(s: Any) -> tuple[int, int, int, int]:
    """Padding for F.pad with which every window of the output fits exactly; may be negative."""
    height = (s.out_h - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1
    width = (s.out_w - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1
    bottom, right = height - s.in_h - s.pad_top, width - s.in_w - s.pad_left
    return s.pad_left, right, s.pad_top, bottom


def _pool_window(s: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (s.kernel_h, s.kernel_w), (s.stride_h, s.stride_w), (s.dilation_h, s.dilation_w)


def max_pool2d_forward(x, y, argmax, shape):
    s = shape
    kernel, stride, dilation = _pool_window(s)
    padded = F.pad(_nchw(x), _pool_pads(s), value=-np.inf)
    best, index = F.max_pool2d(padded, kernel, stride, 0, dilation, return_indices=True)
    y[...] = _nhwc(best)
    if argmax is None:
        return
    # PyTorch numbers the elements of the padded image; convsmith numbers the taps.
    flat = _nhwc(index)
    rows, columns = flat // padded.shape[3], flat % padded.shape[3]
    rows = rows - np.arange(s.out_h)[None, :, None, None] * s.stride_h
    columns = columns - np.arange(s.out_w)[None, None, :, None] * s.stride_w
    argmax[...] = rows // s.dilation_h * s.kernel_w + columns // s.dilation_w


def max_pool2d_backward_input(dy, argmax, dx, shape):
    s = shape
    kernel, stride, dilation = _pool_window(s)
    padded = F.pad(torch.zeros_like(_nchw(dx)), _pool_pads(s))
    none = argmax == (255 if argmax.dtype == np.uint8 else -1)
    tap = np.where(none, 0, argmax).astype(np.int64)
    rows = np.arange(s.out_h)[None, :, None, None] * s.stride_h + tap // s.kernel_w * s.dilation_h
    columns = np.arange(s.out_w)[None, None, :, None] * s.stride_w
    columns = columns + tap % s.kernel_w * s.dilation_w
    gradient = _nchw(np.where(none, 0, dy).astype(dy.dtype))
    index = _nchw(rows * padded.shape[3] + columns)
    whole = aten.max_pool2d_with_indices_backward(
        gradient, padded, kernel, stride, (0, 0), dilation, False, index
    )
    image = torch.zeros_like(_nchw(dx)).requires_grad_()
    dx[...] = _nhwc(_gradient(F.pad(image, _pool_pads(s)), image, whole))


def _average(x: torch.Tensor, s: Any, count_include_pad: bool) -> torch.Tensor:
    kernel, stride, _ = _pool_window(s)
    even = s.pad_top == s.pad_bottom and s.pad_left == s.pad_right
    if even and s.pad_top <= s.kernel_h // 2 and s.pad_left <= s.kernel_w // 2:
        for ceil_mode in (False, True):
            padding = (s.pad_top, s.pad_left)
            y = F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad)
            if y.shape[2:] == (s.out_h, s.out_w):
                return y
    # The sum of every window over the sum of a mask of what counts.
    declared = (s.pad_left, s.pad_right, s.pad_top, s.pad_bottom)
    counted = F.pad(torch.ones_like(x[:1, :1]), declared, value=float(count_include_pad))
    left, right, top, bottom = _pool_pads(s)
    rest = (0, right - s.pad_right, 0, bottom - s.pad_bottom)
    total = F.avg_pool2d(F.pad(x, (left, right, top, bottom)), kernel, stride, divisor_override=1)
    count = F.avg_pool2d(F.pad(counted, rest), kernel, stride, divisor_override=1)
    return total / count.clamp(min=1)


def avg_pool2d_forward(x, y, shape, *, count_include_pad):
    y[...] = _nhwc(_average(_nchw(x), shape, count_include_pad))


def avg_pool2d_backward_input(dy, dx, shape, *, count_include_pad):
    x = torch.zeros_like(_nchw(dx)).requires_grad_()
    dx[...] = _nhwc(_gradient(_average(x, shape, count_include_pad), x, _nchw(dy)))


def adaptive_avg_pool2d_forward(x, y, shape):
    y[...] = _nhwc(F.adaptive_avg_pool2d(_nchw(x), (shape.out_h, shape.out_w)))


def adaptive_avg_pool2d_backward_input(dy, dx, shape):
    x = torch.zeros_like(_nchw(dx)).requires_grad_()
    y = F.adaptive_avg_pool2d(x, (shape.out_h, shape.out_w))
    dx[...] = _nhwc(_gradient(y, x, _nchw(dy)))


def batch_norm_forward(x, gamma, beta, y, mean, var, *, eps):
    values = _t(x)
    result = aten.native_batch_norm(values, _t(gamma), _t(beta), None, None, True, 0.0, eps)
    y[...] = result[0].numpy()
    spread, centre = torch.var_mean(values, dim=0, unbiased=False)
    mean[...], var[...] = centre.numpy(), spread.numpy()


def _batch_norm_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps, training):
    scale = torch.rsqrt(_t(var) + eps)
    mask = [True, True, True]
    given = (_t(mean), _t(var), _t(mean), scale)
    found = aten.native_batch_norm_backward(_t(dy), _t(x), _t(gamma), *given, training, eps, mask)
    for out, value in zip((dx, dgamma, dbeta), found, strict=True):
        out[...] = value.numpy()


def batch_norm_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, *, eps):
    _batch_norm_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps, True)


def batch_norm_inference_forward(x, gamma, beta, mean, var, y, *, eps):
    y[...] = F.batch_norm(_t(x), _t(mean), _t(var), _t(gamma), _t(beta), False, 0.0, eps).numpy()


def batch_norm_inference_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, *, eps):
    _batch_norm_backward(dy, x, gamma, mean, var, dx, dgamma, dbeta, eps, False)


def local_response_norm_forward(x, y, *, size, alpha, beta, k):
    rows = _t(x).reshape(-1, x.shape[-1], 1)
    if len(rows):
        y[...] = F.local_response_norm(rows, size, alpha, beta, k).reshape(x.shape).numpy()


def local_response_norm_backward(dy, x, dx, *, size, alpha, beta, k):
    rows = _t(x).reshape(-1, x.shape[-1], 1).requires_grad_()
    if len(rows):
        y = F.local_response_norm(rows, size, alpha, beta, k)
        dx[...] = _gradient(y, rows, _t(dy).reshape(rows.shape)).reshape(x.shape).numpy()


def activation_forward(x, y, *, kind, negative_slope):
    y[...] = _activate(_t(x), kind, negative_slope).numpy()


def activation_backward(dy, saved, dx, *, kind, negative_slope):
    gradient, value = _t(dy), _t(saved)
    table = {
        "identity": lambda: gradient,
        "relu": lambda: aten.threshold_backward(gradient, value, 0),
        "leaky_relu": lambda: aten.leaky_relu_backward(gradient, value, negative_slope, True),
        "sigmoid": lambda: aten.sigmoid_backward(gradient, value),
        "tanh": lambda: aten.tanh_backward(gradient, value),
        "silu": lambda: aten.silu_backward(gradient, value),
        "hardswish": lambda: aten.hardswish_backward(gradient, value),
    }
    dx[...] = table[kind]().numpy()


def add(a, b, y):
    y[...] = (_t(a) + _t(b)).numpy()


def softmax_forward(x, y):
    y[...] = torch.softmax(_t(x), -1).numpy()


def softmax_backward(dy, y, dx):
    dx[...] = aten._softmax_backward_data(_t(dy), _t(y), -1, _t(y).dtype).numpy()


def log_softmax_forward(x, y):
    y[...] = torch.log_softmax(_t(x), -1).numpy()


def log_softmax_backward(dy, y, dx):
    dx[...] = aten._log_softmax_backward_data(_t(dy), _t(y), -1, _t(y).dtype).numpy()


def softmax_cross_entropy(logits, labels, losses, dlogits, *, label_smoothing, scale):
    x = _t(logits).requires_grad_()
    found = F.cross_entropy(x, _t(labels), reduction="none", label_smoothing=label_smoothing)
    losses[...] = found.detach().numpy()
    dlogits[...] = _gradient(found, x, torch.full_like(found, scale)).numpy()


def upsample_nearest2d_forward(x, y, shape):
    y[...] = _nhwc(F.interpolate(_nchw(x), (shape.out_h, shape.out_w), mode="nearest"))


def upsample_nearest2d_backward_input(dy, dx, shape):
    x = torch.zeros_like(_nchw(dx)).requires_grad_()
    y = F.interpolate(x, (shape.out_h, shape.out_w), mode="nearest")
    dx[...] = _nhwc(_gradient(y, x, _nchw(dy)))


def _bilinear(x: torch.Tensor, shape: Any, align_corners: bool) -> torch.Tensor:
    size = (shape.out_h, shape.out_w)
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def upsample_bilinear2d_forward(x, y, shape, *, align_corners):
    y[...] = _nhwc(_bilinear(_nchw(x), shape, align_corners))


def upsample_bilinear2d_backward_input(dy, dx, shape, *, align_corners):
    x = torch.zeros_like(_nchw(dx)).requires_grad_()
    dx[...] = _nhwc(_gradient(_bilinear(x, shape, align_corners), x, _nchw(dy)))


def _step(optimizer: Any, param: torch.Tensor, grad: np.ndarray, state: dict[str, Any]) -> None:
    param.grad = _t(grad)
    optimizer.state[param] = state
    optimizer.step()


def sgd_update(param, grad, velocity, *, lr, momentum, weight_decay, nesterov):
    value = _t(param).requires_grad_()
    optimizer = torch.optim.SGD(
        [value], lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
    )
    state = {} if velocity is None else {"momentum_buffer": _t(velocity)}
    _step(optimizer, value, grad, state)
    param[...] = value.detach().numpy()
    if velocity is not None:
        velocity[...] = state["momentum_buffer"].numpy()


def adam_update(
    param, grad, exp_avg, exp_avg_sq, *, step, lr, beta1, beta2, eps, weight_decay, decoupled
):
    value = _t(param).requires_grad_()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([value], lr, (beta1, beta2), eps, weight_decay, foreach=False)
    state = {"step": torch.tensor(float(step - 1))}
    state |= {"exp_avg": _t(exp_avg), "exp_avg_sq": _t(exp_avg_sq)}
    _step(optimizer, value, grad, state)
    param[...] = value.detach().numpy()
    exp_avg[...], exp_avg_sq[...] = state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()
