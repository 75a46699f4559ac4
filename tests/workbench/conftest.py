"""Folders with kernels, and one cache for what the tests of a session build."""

from __future__ import annotations

from pathlib import Path

import pytest

from convsmith.commands.new_kernel import write


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture
def new(tmp_path):
    """new(op, language, old="", new="") -> a folder with the template, one place changed."""

    def make(op: str, language: str, old: str = "", new: str = "", name: str = "mine") -> Path:
        folder = tmp_path / name
        source = write(op, language, folder)[-1]
        text = source.read_text()
        if old:
            assert text.count(old) >= 1, f"{source} has no {old!r}"
        source.write_text(text.replace(old, new, 1) if old else text)
        return folder

    return make


@pytest.fixture
def python_kernel(tmp_path):
    """python_kernel(body) -> a folder whose kernel is add, in Python, with this body."""

    def make(body: str, name: str = "mine") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "kernel.py").write_text(
            "from convsmith.workbench import Kernel\n\n\n"
            f"def add(a, b, y):\n    {body}\n\n\n"
            'kernel = Kernel(op="add", source=add)\n'
        )
        return folder

    return make
