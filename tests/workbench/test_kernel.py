"""What a kernel.py may say, and what it is told when it is wrong."""

from __future__ import annotations

import pytest

from convsmith.workbench import Kernel, KernelError, load_kernel


def test_languages():
    assert Kernel(op="add", source="add.cu").language == "cuda"
    assert Kernel(op="add", source="add.cpp").language == "cpp"
    assert Kernel(op="add", source=lambda a, b, y: None).language == "python"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"op": "conv3d", "source": "a.cu"}, "Kernel: op: got 'conv3d', wanted one of gemm, "),
        ({"op": "add", "source": "add.f90"}, r"source: got 'add.f90', wanted a file that ends in"),
        ({"op": "add", "source": "add.cu", "name": "a b"}, "name: got 'a b', wanted letters"),
    ],
)
def test_wrong_values(wrong, message):
    with pytest.raises(ValueError, match=message):
        Kernel(**wrong)


def test_a_python_function_with_other_arguments():
    with pytest.raises(TypeError, match=r"got wrong\(a, c\), wanted def add\(a, b, y\)"):

        def wrong(a, c):
            pass

        Kernel(op="add", source=wrong)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"wanted a folder with a kernel.py"):
        load_kernel(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = 1 / 0\n", r"kernel.py:2: ZeroDivisionError: division by zero"),
        ("def f(:\n", r"kernel.py:1: SyntaxError: "),
        ("kernel = 3\n", r"kernel.py: got 3 for `kernel`, wanted"),
        ("", r"kernel.py: got no value for `kernel`, wanted"),
        (
            'from convsmith.workbench import Kernel\nkernel = Kernel(op="ad", source="a.cu")\n',
            r"kernel.py:2: ValueError: Kernel: op: got 'ad'",
        ),
        (
            'from convsmith.workbench import Kernel\nkernel = Kernel(op="add", source="a.cu")\n',
            r"mine: source: got .*a.cu, which does not exist",
        ),
    ],
)
def test_a_wrong_kernel_file(tmp_path, text, message):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "kernel.py").write_text(text)
    with pytest.raises(KernelError, match=message):
        load_kernel(folder)
