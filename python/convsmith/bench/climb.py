"""`convsmith bench --ladder`: the rungs lie in the source tree, beside their explanations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import convsmith

_FILE = Path("benchmarks") / "ladder" / "ladder.py"


def load_ladder() -> Any:
    """The module that builds, checks and times the rungs.

    Looked for where the package itself lies, then from the working directory upwards. Raises
    FileNotFoundError where there is no source tree.
    """
    here = Path.cwd()
    for root in (*Path(convsmith.__file__).resolve().parents, here, *here.parents):
        file = root / _FILE
        if file.is_file():
            spec = importlib.util.spec_from_file_location("convsmith_ladder", file)
            assert spec is not None and spec.loader is not None  # it ends in .py
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(
        f"--ladder: got no {_FILE} in {here} or above it, wanted to run in convsmith's source tree"
    )
