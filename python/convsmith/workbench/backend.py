"""A user's kernel as a backend: what convsmith's ops, `check` and `bench` can call.

The kernel computes the bare sum; scaling, bias, residual and activation of the op are done here
afterwards, so that its author need not.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convsmith import machine
from convsmith.arrays import Array, Shape
from convsmith.backends import table
from convsmith.backends.simt import POLICIES
from convsmith.ops.activation import activation_forward
from convsmith.ops.epilogue import NO_EPILOGUE, Epilogue
from convsmith.workbench.arguments import Library, Values
from convsmith.workbench.build import cuda_library, library
from convsmith.workbench.kernel import Kernel, KernelError
from convsmith.workbench.signatures import python_names

Run = Callable[[Values], None]


class KernelBackend:
    """A backend of one op, for the arrays of one library: numpy or cupy.

    run(values) computes the kernel's outputs from its inputs.
    """

    def __init__(self, kernel: Kernel, run: Run, arrays: str = "numpy") -> None:
        self.NAME = kernel.name
        self.kernel = kernel
        self._run = run
        self._arrays = importlib.import_module(arrays)

    def unavailable_reason(self) -> str | None:
        return None  # it has been built, or load_kernel would have raised

    def supports(self, op: str, dtype: Any, shape: Any = None) -> bool:
        if op != self.kernel.op or getattr(dtype, "name", dtype) != "float32":
            return False
        return self.kernel.supports is None or bool(self.kernel.supports(shape))

    def algorithms(self, op: str, dtype: Any, shape: Any = None) -> tuple[str, ...]:
        return ()  # one, without a name

    def empty(self, shape: Shape, dtype: Any) -> Array:
        return self._arrays.empty(shape, dtype)

    @contextmanager
    def schedule(self, policy: str, seed: int) -> Iterator[None]:
        """A CUDA kernel's threads in this order, on the CPU; see convsmith.backends.simt."""
        if not isinstance(self._run, Library) or self.kernel.language != "cuda":
            raise ValueError(f"{self.NAME}: schedule: got no CUDA kernel that runs on the CPU")
        self._run.set_schedule(POLICIES.index(policy), seed)
        try:
            yield
        finally:
            self._run.set_schedule(0, 0)

    # The ops, with the arguments of every backend.

    def conv2d_forward(
        self,
        x: Array,
        weight: Array,
        y: Array,
        shape: Any,
        epilogue: Epilogue = NO_EPILOGUE,
        *,
        algorithm: str = "auto",
    ) -> None:
        self._run({"shape": shape, "x": x, "weight": weight, "y": y})
        _finish(y, epilogue)

    def conv2d_backward_input(
        self, dy: Array, weight: Array, dx: Array, shape: Any, *, algorithm: str = "auto"
    ) -> None:
        self._run({"shape": shape, "dy": dy, "weight": weight, "dx": dx})

    def conv2d_backward_weight(
        self, x: Array, dy: Array, dweight: Array, shape: Any, *, algorithm: str = "auto"
    ) -> None:
        self._run({"shape": shape, "x": x, "dy": dy, "dweight": dweight})

    def gemm(
        self,
        a: Array,
        b: Array,
        c: Array,
        shape: Any,
        epilogue: Epilogue = NO_EPILOGUE,
        *,
        alpha: float = 1.0,
        beta: float = 0.0,
    ) -> None:
        before = beta * c if beta != 0 else None  # with beta = 0, c may hold NaN
        self._run({"shape": shape, "a": a, "b": b, "c": c})
        if alpha != 1:
            c *= c.dtype.type(alpha)
        if before is not None:
            c += before
        _finish(c, epilogue)

    def max_pool2d_forward(self, x: Array, y: Array, argmax: Array | None, shape: Any) -> None:
        where = self._arrays.empty(y.shape, np.int32)
        self._run({"shape": shape, "x": x, "y": y, "argmax": where})
        if argmax is not None:
            argmax[...] = where.astype(argmax.dtype)  # -1 becomes 255 in a uint8, as the op says

    def avg_pool2d_forward(
        self, x: Array, y: Array, shape: Any, *, count_include_pad: bool = True
    ) -> None:
        self._run({"shape": shape, "count_include_pad": count_include_pad, "x": x, "y": y})

    def activation_forward(
        self, x: Array, y: Array, *, kind: str, negative_slope: float = 0.01
    ) -> None:
        values = {"kind": kind, "negative_slope": negative_slope, "size": x.size, "x": x, "y": y}
        self._run(values)

    def add(self, a: Array, b: Array, y: Array) -> None:
        self._run({"size": a.size, "a": a, "b": b, "y": y})

    def softmax_forward(self, x: Array, y: Array) -> None:
        classes = x.shape[-1]
        self._run({"rows": x.size // classes, "classes": classes, "x": x, "y": y})


def _finish(y: Array, epilogue: Epilogue) -> None:
    """y = activation(y + bias + residual)."""
    if epilogue.bias is not None:
        y += epilogue.bias
    if epilogue.residual is not None:
        y += epilogue.residual
    if epilogue.activation != "identity":
        slope = epilogue.negative_slope
        y[...] = activation_forward(y, epilogue.activation, negative_slope=slope)


def _function(kernel: Kernel) -> Run:
    """A Python kernel."""
    names = python_names(kernel.op)

    def run(values: Values) -> None:
        assert callable(kernel.source)
        kernel.source(**{name: values[name] for name in names})

    return run


def load_kernel(path: str | Path, arrays: str = "numpy") -> KernelBackend:
    """The kernel of a folder (or of its kernel.py), compiled and loaded into this process.

    arrays: "numpy", or "cupy" for a CUDA kernel that nvcc is to compile for the GPU.
    Raises FileNotFoundError where there is no kernel, KernelError for one that does not say what
    it is or does not build, ValueError for arrays that it cannot take.
    """
    file = Path(path)
    file = file / "kernel.py" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(
            f"kernel: got {path}, wanted a folder with a kernel.py; convsmith new-kernel writes one"
        )
    kernel = _run_file(file)
    kernel = replace(kernel, name=kernel.name or file.resolve().parent.name, folder=file.parent)
    if arrays != "numpy" and (arrays, kernel.language) != ("cupy", "cuda"):
        raise ValueError(
            f"{kernel.name}: arrays: got {arrays!r} for {kernel.description}, wanted 'numpy', or "
            "'cupy' for a kernel in CUDA"
        )
    if kernel.language == "python":
        return KernelBackend(kernel, _function(kernel))
    if arrays == "numpy":
        return KernelBackend(kernel, Library(kernel, library(kernel)))
    on_gpu = Library(kernel, cuda_library(kernel))
    cupy = importlib.import_module("cupy")
    return KernelBackend(kernel, lambda v: on_gpu(v, cupy.cuda.get_current_stream().ptr), "cupy")


def _run_file(file: Path) -> Kernel:
    """The value `kernel` that the file leaves."""
    module_name = f"convsmith_kernel_{file.resolve().parent.name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else 1
        raise KernelError(f"{file}:{line}: {type(error).__name__}: {error}") from error
    kernel = getattr(module, "kernel", None)
    if not isinstance(kernel, Kernel):
        raise KernelError(
            f"{file}: got {'no value' if kernel is None else repr(kernel)} for `kernel`, wanted "
            'kernel = Kernel(op="...", source="...") from convsmith.workbench'
        )
    return kernel


def register_kernel(path: str | Path) -> str:
    """Lets use_backend choose the kernel of a folder; returns its name.

    Within use_backend(name) the op that it has runs on it, wherever it supports the case; all else
    runs on what convsmith would have chosen. A CUDA kernel takes NumPy arrays, on the CPU, and
    where there is nvcc and a GPU for CuPy also CuPy arrays. Raises as load_kernel does, and
    ValueError for the name of a backend of convsmith's own.
    """
    backend = load_kernel(path)
    by_type = {"numpy.ndarray": backend}
    gpu = machine.nvcc()[0] and machine.cupy_state()[1] == "sees a GPU"
    if backend.kernel.language == "cuda" and gpu:
        by_type["cupy.ndarray"] = load_kernel(path, "cupy")
    table.register(backend.NAME, by_type)
    return backend.NAME
