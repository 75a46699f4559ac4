"""PyTorch's call for each op: OPS[op](work, *tensors) -> the call, with all else done before."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from convsmith.bench.training_step import fresh_model, labels
from convsmith.bench.work import Call, Inputs, Work


def _torch() -> Any:
    return importlib.import_module("torch")


def _conv(work: Work) -> tuple[Any, ...]:
    s = work.shape
    stride, padding = (s.stride_h, s.stride_w), (s.pad_top, s.pad_left)
    return stride, padding, (s.dilation_h, s.dilation_w)


def _conv_forward(work: Work, x: Any, weight: Any) -> Call:
    conv2d = _torch().nn.functional.conv2d
    stride, padding, dilation = _conv(work)
    return lambda: conv2d(x, weight, None, stride, padding, dilation, work.shape.groups)


def _conv_backward(work: Work, dy: Any, x: Any, weight: Any, index: int) -> Call:
    """What autograd runs, for one of the gradients. The third tensor gives only its shape."""
    backward = _torch().ops.aten.convolution_backward
    stride, padding, dilation = _conv(work)
    mask = [index == 0, index == 1, False]
    rest = (None, stride, padding, dilation, False, (0, 0), work.shape.groups, mask)
    return lambda: backward(dy, x, weight, *rest)[index]


def _like(tensor: Any, shape: tuple[int, ...]) -> Any:
    """An empty tensor of our shape (NHWC) in the memory format of `tensor`."""
    torch = _torch()
    n, h, w, c = shape
    last = not tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty((n, c, h, w), dtype=tensor.dtype, device=tensor.device, memory_format=form)


def _conv_backward_input(work: Work, dy: Any, weight: Any) -> Call:
    return _conv_backward(work, dy, _like(dy, work.shape.x_shape), weight, 0)


def _conv_backward_weight(work: Work, x: Any, dy: Any) -> Call:
    return _conv_backward(work, dy, x, _like(x, work.shape.weight_shape), 1)


def _gemm(work: Work, a: Any, b: Any) -> Call:
    torch = _torch()
    left = a.T if work.shape.transpose_a else a
    right = b.T if work.shape.transpose_b else b
    out = torch.empty(work.shape.c_shape, dtype=a.dtype, device=a.device)
    return lambda: torch.mm(left, right, out=out)


def _pool(work: Work) -> tuple[Any, ...]:
    s = work.shape
    return (s.kernel_h, s.kernel_w), (s.stride_h, s.stride_w), (s.pad_top, s.pad_left)


def _max_pool_forward(work: Work, x: Any) -> Call:
    pool = _torch().ops.aten.max_pool2d_with_indices
    window = _pool(work)
    return lambda: pool(x, *window)[0]


def _max_pool_backward(work: Work, dy: Any, x: Any) -> Call:
    aten = _torch().ops.aten
    window = _pool(work)
    _, indices = aten.max_pool2d_with_indices(x, *window)
    backward = aten.max_pool2d_with_indices_backward
    return lambda: backward(dy, x, *window, (1, 1), False, indices)


def _avg_pool_forward(work: Work, x: Any) -> Call:
    pool = _torch().nn.functional.avg_pool2d
    window = _pool(work)
    return lambda: pool(x, *window)


def _avg_pool_backward(work: Work, dy: Any) -> Call:
    backward = _torch().ops.aten.avg_pool2d_backward
    x, window = _like(dy, work.shape.x_shape), _pool(work)
    return lambda: backward(dy, x, *window, False, True, None)


def _adaptive_forward(work: Work, x: Any) -> Call:
    pool = _torch().nn.functional.adaptive_avg_pool2d
    size = (work.shape.out_h, work.shape.out_w)
    return lambda: pool(x, size)


def _adaptive_backward(work: Work, dy: Any) -> Call:
    backward = _torch().ops.aten._adaptive_avg_pool2d_backward
    x = _like(dy, work.shape.x_shape)
    return lambda: backward(dy, x)


def _batch_norm_forward(work: Work, x: Any, gamma: Any, beta: Any) -> Call:
    norm, eps = _torch().ops.aten.native_batch_norm, work.settings["eps"]
    return lambda: norm(x, gamma, beta, None, None, True, 0.0, eps)[:2]  # y and the mean


def _batch_norm_backward(work: Work, dy: Any, x: Any, gamma: Any, mean: Any, var: Any) -> Call:
    backward, eps = _torch().ops.aten.native_batch_norm_backward, work.settings["eps"]
    scale = (var + eps).rsqrt()
    rest = (None, None, mean, scale, True, eps, [True, True, True])
    return lambda: backward(dy, x, gamma, *rest)


def _local_response_norm(work: Work, x: Any) -> Call:
    norm = _torch().nn.functional.local_response_norm
    return lambda: norm(x, **work.settings)


def _relu_forward(work: Work, x: Any) -> Call:
    relu = _torch().relu
    return lambda: relu(x)


def _relu_backward(work: Work, dy: Any, y: Any) -> Call:
    backward = _torch().ops.aten.threshold_backward
    return lambda: backward(dy, y, 0)


def _add(work: Work, a: Any, b: Any) -> Call:
    add = _torch().add
    return lambda: add(a, b)


def _cross_entropy(work: Work, logits: Any) -> Call:
    """Loss of each row and the gradient of their sum, as loss and backward run them."""
    torch = _torch()
    aten = torch.ops.aten
    labels = torch.from_numpy(work.settings["labels"]).to(logits.device)
    total = torch.ones(len(labels), dtype=logits.dtype, device=logits.device)
    none, rows = 0, torch.zeros((), dtype=logits.dtype, device=logits.device)

    def run() -> Any:
        logarithms = torch.log_softmax(logits, 1)
        losses = torch.nn.functional.nll_loss(logarithms, labels, reduction="none")
        rest = (None, none, -100, rows)
        gradient = aten.nll_loss_backward(total, logarithms, labels, *rest)
        return losses, aten._log_softmax_backward_data(gradient, logarithms, 1, logits.dtype)

    return run


def _sgd(work: Work, param: Any, grad: Any, velocity: Any) -> Call:
    parameter = _torch().nn.Parameter(param)
    parameter.grad = grad
    settings = {name: work.settings[name] for name in ("lr", "momentum", "weight_decay")}
    optimizer = _torch().optim.SGD([parameter], fused=True, **settings)
    optimizer.state[parameter]["momentum_buffer"] = velocity

    def run() -> Any:
        optimizer.step()
        return parameter, velocity

    return run


def _adam(work: Work, param: Any, grad: Any, average: Any, square: Any) -> Call:
    torch, settings = _torch(), work.settings
    parameter = torch.nn.Parameter(param)
    parameter.grad = grad
    betas = (settings["beta1"], settings["beta2"])
    optimizer = torch.optim.Adam(
        [parameter], lr=settings["lr"], betas=betas, eps=settings["eps"], fused=True
    )
    done = torch.tensor(float(settings["step"] - 1), device=param.device)
    optimizer.state[parameter] = {"step": done, "exp_avg": average, "exp_avg_sq": square}

    def run() -> Any:
        optimizer.step()
        return parameter, average, square

    return run


OPS: dict[str, Callable[..., Call]] = {
    "conv2d_forward": _conv_forward,
    "conv2d_backward_input": _conv_backward_input,
    "conv2d_backward_weight": _conv_backward_weight,
    "gemm": _gemm,
    "max_pool2d_forward": _max_pool_forward,
    "max_pool2d_backward_input": _max_pool_backward,
    "avg_pool2d_forward": _avg_pool_forward,
    "avg_pool2d_backward_input": _avg_pool_backward,
    "adaptive_avg_pool2d_forward": _adaptive_forward,
    "adaptive_avg_pool2d_backward_input": _adaptive_backward,
    "batch_norm_forward": _batch_norm_forward,
    "batch_norm_backward": _batch_norm_backward,
    "local_response_norm_forward": _local_response_norm,
    "activation_forward": _relu_forward,
    "activation_backward": _relu_backward,
    "add": _add,
    "softmax_cross_entropy": _cross_entropy,
    "sgd_update": _sgd,
    "adam_update": _adam,
}


def training_step(channels_first: bool, tensor: Callable[..., Any]) -> Callable[[Inputs], Call]:
    """A bind for the demo's step: forward, backward by the tape, the fused Adam."""
    torch = _torch()
    ours = fresh_model()
    form = torch.contiguous_format if channels_first else torch.channels_last
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(32, 64, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(2304, 10),
    )
    given = {name: torch.from_numpy(p.data.copy()) for name, p in ours.named_parameters()}
    state: dict[str, Any] = {}
    for name, index in (("conv1", 0), ("conv2", 3), ("linear", 7)):
        weight = given[f"{name}.weight"]
        if name == "linear":  # ours flattens H, W, C; theirs C, H, W
            weight = weight.reshape(10, 6, 6, 64).permute(0, 3, 1, 2).reshape(10, 2304)
        else:
            weight = weight.permute(0, 3, 1, 2)
        state |= {f"{index}.weight": weight, f"{index}.bias": given[f"{name}.bias"]}
    model.load_state_dict(state)
    model = model.to(memory_format=form)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    targets, loss_of = torch.from_numpy(labels()), torch.nn.CrossEntropyLoss()

    def bind(inputs: Inputs) -> Call:
        images = tensor(inputs[0], False).contiguous(memory_format=form)

        def run() -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(images), targets)
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    return bind
