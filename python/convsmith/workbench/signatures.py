"""What a user's kernel looks like: one parameter list for each op, as C++ and as Python.

The text of a list is compiled into the kernel's entry (build.py), so that a kernel with another
signature is refused by the compiler; and it is parsed here, so that arguments are packed by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# Arrays are float32, NHWC and C-contiguous. Outputs are pointers to what is not const.
SIGNATURES = {
    "gemm": "const GemmShape& shape, const float* a, const float* b, float* c",
    "conv2d_forward": "const Conv2dShape& shape, const float* x, const float* weight, float* y",
    "conv2d_backward_input": (
        "const Conv2dShape& shape, const float* dy, const float* weight, float* dx"
    ),
    "conv2d_backward_weight": (
        "const Conv2dShape& shape, const float* x, const float* dy, float* dweight"
    ),
    "max_pool2d_forward": "const Pool2dShape& shape, const float* x, float* y, int32_t* argmax",
    "avg_pool2d_forward": (
        "const Pool2dShape& shape, bool count_include_pad, const float* x, float* y"
    ),
    "activation_forward": (
        "Activation kind, float negative_slope, int64_t size, const float* x, float* y"
    ),
    "add": "int64_t size, const float* a, const float* b, float* y",
    "softmax_forward": "int64_t rows, int64_t classes, const float* x, float* y",
}


@dataclass(frozen=True)
class Parameter:
    """type is as in C++: "const float*", "bool", "const Conv2dShape&", ..."""

    type: str
    name: str

    @property
    def is_array(self) -> bool:
        return self.type.endswith("*")

    @property
    def is_output(self) -> bool:
        return self.is_array and not self.type.startswith("const ")


@cache
def parameters(op: str) -> tuple[Parameter, ...]:
    """The parameters of a kernel for `op`, without the stream that a CUDA kernel gets last."""
    return tuple(Parameter(*text.rsplit(" ", 1)) for text in SIGNATURES[op].split(", "))


@cache
def python_names(op: str) -> tuple[str, ...]:
    """The arguments of a Python function, passed by name. Arrays know their own sizes."""
    return tuple(p.name for p in parameters(op) if p.type != "int64_t")


def declaration(op: str, language: str) -> str:
    """The function that convsmith calls."""
    if language == "python":
        return f"def {op}({', '.join(python_names(op))})"
    return f"void {op}({parameter_list(op, language)})"


def parameter_list(op: str, language: str) -> str:
    """As in C++."""
    return SIGNATURES[op] + (", Stream stream" if language == "cuda" else "")
