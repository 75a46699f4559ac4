"""Importing convsmith is cheap, exports what it says and needs NumPy alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

import convsmith


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_everything_that_is_exported_exists():
    for name in convsmith.__all__:
        assert getattr(convsmith, name) is not None
    assert set(convsmith.__all__) <= set(dir(convsmith))


def test_version_is_a_string():
    assert isinstance(convsmith.__version__, str)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'conv3d'"):
        convsmith.conv3d  # noqa: B018
    assert not hasattr(convsmith, "conv3d")


def test_only_numpy_is_imported():
    heavy = "{'torch', 'cupy', 'matplotlib', 'sklearn', 'PIL', 'safetensors', 'tqdm'}"
    late = "{'convsmith.nn', 'convsmith.train', 'convsmith._cpu', 'numpy.random'}"
    code = f"import sys, convsmith; print(sorted(({heavy} | {late}) & set(sys.modules)))"
    assert run(code).strip() == "[]"


def test_subpackages_are_imported_on_first_use():
    code = "import sys, convsmith; convsmith.nn; print('convsmith.nn' in sys.modules)"
    assert run(code).strip() == "True"
    assert run("import convsmith; print(convsmith.ops.gemm.__name__)").strip() == "gemm"


def test_seed_and_generator():
    convsmith.seed(3)
    first = convsmith.random.generator().standard_normal(4).tolist()
    assert convsmith.random.generator().standard_normal(4).tolist() != first
    convsmith.seed(3)
    assert convsmith.random.generator().standard_normal(4).tolist() == first
    with pytest.raises(ValueError, match="seed: n: got -1, wanted at least 0"):
        convsmith.seed(-1)
    with pytest.raises(TypeError, match=r"seed: n: got 1.5 of type float, wanted an int"):
        convsmith.seed(1.5)
