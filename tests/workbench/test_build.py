"""Compiling: what a compiler says comes through, and what was built is built once."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from compiler import needs_compiler

from convsmith import machine
from convsmith.workbench import KernelError, build, cache, load_kernel
from convsmith.workbench.kernel import Kernel
from convsmith.workbench.signatures import SIGNATURES

pytestmark = needs_compiler


def kernel_of(folder, op, suffix):
    return Kernel(op=op, source=f"{op}{suffix}", name=folder.name, folder=folder)


def test_a_compile_error_is_the_compilers_with_file_and_line(new):
    folder = new("add", "cpp", "a[i] + b[i];", "a[i] + c[i];")
    with pytest.raises(KernelError) as error:
        load_kernel(folder)
    text = str(error.value)
    assert text.startswith(f"mine: g++ does not compile {folder}/add.cpp:\n")
    assert f"{folder}/add.cpp:5:" in text and "was not declared" in text


@pytest.mark.parametrize("language", ["cpp", "cuda"])
def test_another_signature_is_told_the_right_one(new, language):
    folder = new("add", language, "void add(int64_t size", "void add(int size")
    with pytest.raises(KernelError, match=r"wanted: void add\(int64_t size, const float\* a, "):
        load_kernel(folder)


def test_a_function_of_another_name(new):
    folder = new("add", "cpp", "void add(", "void sum(")
    with pytest.raises(KernelError, match=r"(?s)add. was not declared.*wanted: void add\("):
        load_kernel(folder)


def test_a_function_that_is_only_declared(new):
    folder = new("add", "cpp")
    (folder / "add.cpp").write_text(
        "#include <cstdint>\nvoid add(int64_t size, const float* a, const float* b, float* y);\n"
    )
    with pytest.raises(KernelError, match="undefined reference to `add"):
        load_kernel(folder)


def test_no_compiler(new, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelError, match="no-such-compiler is not on the PATH; install g"):
        load_kernel(new("add", "cpp"))


def test_built_once_and_again_after_a_change(new, monkeypatch):
    folder = new("add", "cpp")
    first = build.library(kernel_of(folder, "add", ".cpp"))

    def refuse(*_args, **_options):
        raise AssertionError("compiled again")

    with monkeypatch.context() as patched:
        patched.setattr(build, "_compile", refuse)
        assert build.library(kernel_of(folder, "add", ".cpp")) == first
    (folder / "helper.h").write_text("// a header beside the source counts too\n")
    second = build.library(kernel_of(folder, "add", ".cpp"))
    assert second != first and second.exists() and not first.exists()


def test_what_counts_of_the_kernels_folder(new):
    folder = new("add", "cpp")

    def after(name):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("// changed\n")
        return build.library(kernel_of(folder, "add", ".cpp"))

    last = build.library(kernel_of(folder, "add", ".cpp"))
    for name in (".git/index", "sub/__pycache__/a.h", "notes.py"):
        assert after(name) == last
    for name in ("sub/a.h", "sub/deeper/b", "table.def"):
        assert after(name) != last
        last = build.library(kernel_of(folder, "add", ".cpp"))


def test_a_changed_header_in_a_folder_below(new):
    folder = new("add", "cpp", "a[i] + b[i];", "a[i] + b[i] + MORE;")
    source = folder / "add.cpp"
    source.write_text('#include "sub/more.h"\n' + source.read_text())
    (folder / "sub").mkdir()
    for more in (2, 5):
        (folder / "sub" / "more.h").write_text(f"#define MORE {more}\n")
        y = np.zeros((1, 3), np.float32)
        load_kernel(folder).add(np.ones_like(y), np.ones_like(y), y)
        assert (y == 2 + more).all()


def test_flags(new):
    folder = new("add", "cpp", "a[i] + b[i];", "PLUS(a[i], b[i]);")
    (folder / "kernel.py").write_text(
        "from convsmith.workbench import Kernel\n"
        'kernel = Kernel(op="add", source="add.cpp", flags=["-DPLUS(a,b)=a+b"])\n'
    )
    load_kernel(folder)


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with pytest.raises(KernelError, match=r"which cannot be written .*; set XDG_CACHE_HOME"):
        cache.folder()


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(folder):
        (folder / "half").touch()
        raise KernelError("no")

    with pytest.raises(KernelError):
        cache.keep("name", "state", fail)
    assert list((tmp_path / "convsmith" / "name").iterdir()) == []
    made = cache.keep("name", "state", lambda folder: (folder / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]


def test_the_slower_of_two_builders_leaves_what_the_faster_one_made(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def faster(folder):
        (folder / "file").write_text("faster")

    def slower(folder):
        (folder / "file").write_text("slower")
        cache.keep("name", "state", faster)

    made = cache.keep("name", "state", slower)
    assert (made / "file").read_text() == "faster"
    assert list(made.parent.iterdir()) == [made]


def test_cupy_arrays_without_nvcc(new, monkeypatch):
    monkeypatch.setattr(machine, "nvcc", lambda: ("", ""))
    with pytest.raises(KernelError, match=r"no nvcc to compile .*add.cu with"):
        load_kernel(new("add", "cuda"), "cupy")


@pytest.mark.parametrize(("language", "arrays"), [("cpp", "cupy"), ("cuda", "torch")])
def test_arrays_that_a_kernel_cannot_take(new, language, arrays):
    with pytest.raises(ValueError, match=f"mine: arrays: got '{arrays}' for add in C.*, wanted"):
        load_kernel(new("add", language), arrays)


@pytest.mark.slow
@pytest.mark.skipif(not machine.nvcc()[0], reason="no nvcc")
@pytest.mark.parametrize("op", SIGNATURES)
def test_nvcc_compiles_the_templates(new, op):
    made = build.cuda_library(kernel_of(new(op, "cuda"), op, ".cu"), "sm_80")
    symbols = subprocess.run(["nm", "-D", made], capture_output=True, text=True, check=True).stdout
    assert " T convsmith_run" in symbols
