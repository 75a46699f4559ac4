"""The table of parameter lists, and that shapes cross into C++ member by member."""

from __future__ import annotations

import re
import struct
from dataclasses import fields

import pytest

from convsmith.backends.table import OPS
from convsmith.ops.epilogue import ACTIVATIONS
from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape
from convsmith.workbench.arguments import packed
from convsmith.workbench.build import include_folder
from convsmith.workbench.signatures import (
    SIGNATURES,
    Parameter,
    declaration,
    parameters,
    python_names,
)

HEADER = (include_folder() / "shapes.h").read_text()


def test_every_list_names_an_op_and_parses():
    assert set(SIGNATURES) <= set(OPS)
    for op in SIGNATURES:
        assert any(p.is_output for p in parameters(op))
        assert all(re.fullmatch(r"\w+", p.name) for p in parameters(op))


def test_declarations():
    assert declaration("add", "cpp") == (
        "void add(int64_t size, const float* a, const float* b, float* y)"
    )
    assert declaration("add", "cuda").endswith("float* y, Stream stream)")
    assert declaration("add", "python") == "def add(a, b, y)"
    assert python_names("softmax_forward") == ("x", "y")


@pytest.mark.parametrize("shape", [Conv2dShape, Pool2dShape, GemmShape])
def test_members_in_python_and_in_cpp(shape):
    body = re.search(rf"struct {shape.__name__} {{(.*?)}};", HEADER, re.S)
    declared = re.findall(r"(int64_t|bool) ([\w, ]+);", body[1])
    members = [(kind, name.strip()) for kind, names in declared for name in names.split(",")]
    kinds = {"int": "int64_t", "bool": "bool"}
    assert members == [(kinds[field.type], field.name) for field in fields(shape)]


def test_activations_in_python_and_in_cpp():
    listed = re.search(r"enum class Activation {(.*?)}", HEADER, re.S)
    assert tuple(name.strip() for name in listed[1].split(",")) == ACTIVATIONS


def test_packing():
    assert packed(Parameter("bool", "b"), True) == b"\1"
    assert packed(Parameter("float", "f"), 0.5) == struct.pack("f", 0.5)
    assert packed(Parameter("int64_t", "n"), 7) == struct.pack("q", 7)
    assert packed(Parameter("Activation", "kind"), "tanh") == struct.pack("i", 4)
    gemm = packed(Parameter("const GemmShape&", "shape"), GemmShape(1, 2, 3, False, True))
    assert gemm == struct.pack("qqq", 1, 2, 3) + b"\0\1" + bytes(6)
