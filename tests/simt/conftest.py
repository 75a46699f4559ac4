"""Programs for the executor's tests, built once and kept in pytest's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from simt_program import BUILD, SOURCES, state


@pytest.fixture(scope="session")
def program(request):
    """program(name, mode) -> the path of an executable; mode is plain, asan or tsan."""
    compiler = os.environ.get("CXX", "g++")

    def build(name: str, mode: str = "plain") -> Path:
        if shutil.which(compiler) is None:
            pytest.skip(f"no compiler: {compiler} is not on the PATH")
        folder = Path(request.config.cache.mkdir("simt"))
        made = folder / f"{name}-{mode}-{state(SOURCES[name])}"
        if not made.exists():
            for old in folder.glob(f"{name}-{mode}-*"):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            command = [str(BUILD), str(made), mode, *map(str, SOURCES[name])]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                pytest.fail(f"{' '.join(command[:3])}: {done.stdout}{done.stderr}", pytrace=False)
        return made

    return build
