"""Where built kernels are kept: $XDG_CACHE_HOME/convsmith, by default ~/.cache/convsmith."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from convsmith.workbench.kernel import KernelError


def folder() -> Path:
    """The cache; made where it is missing."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    found = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "convsmith"
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError(
            f"cache: got {found}, which cannot be written ({error}); set XDG_CACHE_HOME to a "
            "folder that can"
        ) from error
    return found


def digest(items: Iterable[str | Path]) -> str:
    """Of texts, and of files by name and content."""
    found = hashlib.sha256()
    for item in items:
        content = item.read_bytes() if isinstance(item, Path) else b""
        for part in (str(item).encode(), content):
            found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:16]


def keep(name: str, state: str, make: Callable[[Path], None]) -> Path:
    """The folder for `name` in this state; make(folder) fills it where it is not there yet.

    What was kept under the name in another state is removed.
    """
    parent = folder() / name
    kept = parent / state
    if kept.exists():
        return kept
    parent.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=parent))
    try:
        make(work)
        for old in parent.iterdir():
            # Another process may have made this state meanwhile, and be using it.
            if old != kept and not old.name.startswith("making-"):
                shutil.rmtree(old, ignore_errors=True)
        try:
            work.rename(kept)
        except OSError:  # another process was faster, with the same content
            if not kept.exists():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kept
