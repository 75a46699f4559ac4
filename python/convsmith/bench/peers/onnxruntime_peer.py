"""ONNX Runtime's side: inference, NCHW, one node a graph, weights packed when it is loaded."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from convsmith.bench.work import LIMITS, Call, Contender, Inputs, NumpyArray, Work

_threads = 1
# Of the second input of a node: ONNX Runtime packs constant weights ahead of time, its best way.
_WITH_WEIGHT = ("conv2d_forward", "gemm")


def unavailable_reason() -> str:
    try:
        for name in ("onnx", "onnxruntime"):
            importlib.import_module(name)
    except ImportError as error:
        return f"{error}; pip install 'convsmith[onnxruntime]'"
    return ""


def describe() -> dict[str, Any]:
    return {"onnxruntime": importlib.import_module("onnxruntime").__version__}


def set_threads(threads: int) -> None:
    global _threads
    _threads = threads


def _node(work: Work) -> tuple[str, dict[str, Any]] | None:
    """(ONNX operator, attributes), or None."""
    s = work.shape
    if work.op == "conv2d_forward":
        return "Conv", {
            "kernel_shape": [s.kernel_h, s.kernel_w],
            "strides": [s.stride_h, s.stride_w],
            "dilations": [s.dilation_h, s.dilation_w],
            "pads": [s.pad_top, s.pad_left, s.pad_bottom, s.pad_right],
            "group": s.groups,
        }
    if work.op in ("max_pool2d_forward", "avg_pool2d_forward"):
        attributes = {
            "kernel_shape": [s.kernel_h, s.kernel_w],
            "strides": [s.stride_h, s.stride_w],
            "pads": [s.pad_top, s.pad_left, s.pad_bottom, s.pad_right],
        }
        if work.op.startswith("max"):
            return "MaxPool", attributes
        return "AveragePool", {**attributes, "count_include_pad": 1}
    if work.op == "adaptive_avg_pool2d_forward" and (s.out_h, s.out_w) == (1, 1):
        return "GlobalAveragePool", {}
    if work.op == "gemm":
        return "Gemm", {"transA": int(s.transpose_a), "transB": int(s.transpose_b)}
    return {"activation_forward": ("Relu", {}), "add": ("Add", {})}.get(work.op)


def _session(work: Work, inputs: Inputs) -> Any:
    onnx = importlib.import_module("onnx")
    runtime = importlib.import_module("onnxruntime")
    node = _node(work)
    assert node is not None
    names = ["a", "b"][: len(inputs)]
    made = onnx.helper.make_node(node[0], names, ["y"], **node[1])
    weights = []
    given = list(zip(names, inputs, strict=True))
    if work.op in _WITH_WEIGHT:
        weights = [onnx.numpy_helper.from_array(inputs[1], "b")]
        given = given[:1]
    kind = onnx.helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [made],
        "work",
        [info(name, kind, array.shape) for name, array in given],
        [info("y", kind, None)],
        weights,
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = _threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _result(found: Any) -> tuple[NumpyArray, ...]:
    (y,) = found
    y = y.transpose(0, 2, 3, 1) if y.ndim == 4 else y
    return (np.ascontiguousarray(y),)


def contenders(work: Work, dtype: str, on_gpu: bool) -> list[Contender]:
    if on_gpu or dtype != "float32" or _node(work) is None:
        return []
    session: Any = None

    def bind(inputs: Inputs) -> Call:
        nonlocal session
        session = session or _session(work, inputs)
        names = [i.name for i in session.get_inputs()]
        feed = dict(zip(names, inputs, strict=False))  # refers to the arrays' own memory
        return lambda: session.run(None, feed)

    nchw = any(len(i.shape) == 4 for i in work.inputs)
    return [
        Contender("onnxruntime", bind, _result, LIMITS[dtype], "onnxruntime", channels_first=nchw)
    ]
