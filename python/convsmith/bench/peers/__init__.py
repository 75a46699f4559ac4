"""Other libraries that do the same works, each a module found by its name.

A peer module has unavailable_reason() -> str (empty: it can run), describe() -> dict for the
record, set_threads(n), and contenders(work, dtype, on_gpu) -> list[Contender], empty where the
library has no such op. Each is imported only when it is asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

PEERS = ("torch", "onnxruntime", "numpy", "cupy")


def load(name: str) -> ModuleType:
    """The peer's module. Raises ImportError with what to install."""
    peer = importlib.import_module(f"convsmith.bench.peers.{name}_peer")
    reason = peer.unavailable_reason()
    if reason:
        raise ImportError(f"--against {name}: {reason}")
    return peer


def name_of(peer: ModuleType) -> str:
    return peer.__name__.rpartition(".")[2].removesuffix("_peer")
