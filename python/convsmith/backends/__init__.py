"""Backends: modules that fill what the ops allocate. See table.py for how one is chosen."""

from __future__ import annotations

from convsmith.backends.table import (
    OPS,
    available_backends,
    select,
    use_backend,
    which_backend,
    why_not,
)

__all__ = ["OPS", "available_backends", "select", "use_backend", "which_backend", "why_not"]
