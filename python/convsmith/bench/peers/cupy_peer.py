"""CuPy's side: its own operations, as the backend cupy_fallback composes them."""

from __future__ import annotations

import importlib
from typing import Any

from convsmith.backends import why_not
from convsmith.bench.work import LIMITS, Contender, Work, backend_contender


def unavailable_reason() -> str:
    reason = why_not("cupy_fallback")
    return f"{reason}; pip install 'convsmith[cuda13]'" if reason else ""


def describe() -> dict[str, Any]:
    return {"cupy": importlib.import_module("cupy").__version__}


def set_threads(threads: int) -> None:
    """A GPU has no such setting."""


def contenders(work: Work, dtype: str, on_gpu: bool) -> list[Contender]:
    """None for NumPy arrays, which CuPy does not take."""
    if not on_gpu:
        return []
    return [backend_contender(work, "cupy_fallback", None, LIMITS[dtype], peer="cupy")]
