"""What a folder with a kernel says about it: the value `kernel` of its kernel.py."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convsmith.workbench.signatures import SIGNATURES, declaration, python_names

LANGUAGES = {"cuda": "CUDA", "cpp": "C++", "python": "Python"}
_OF_SUFFIX = {".cu": "cuda", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp"}


class KernelError(RuntimeError):
    """A user's kernel that is wrong in itself, does not build, or failed in a call."""


@dataclass(frozen=True)
class Kernel:
    """A kernel for `op`.

    source: a file beside kernel.py, .cu for CUDA or .cpp for C++, or a Python function. Its
        function is named like the op and takes what `convsmith new-kernel` shows.
    name: what use_backend calls it; by default the name of the folder.
    supports: takes the op's shape (None for ops without one) and says whether the kernel can do
        it; by default it can do everything. What it declines goes to convsmith's own kernels.
    flags: more options for the compiler: the host's for C++, nvcc for CUDA.

    Raises ValueError for an unknown op, source or name, TypeError for a Python function with other
    arguments.
    """

    op: str
    source: str | Callable[..., None]
    name: str = ""
    supports: Callable[[Any], bool] | None = None
    flags: Sequence[str] = ()
    folder: Path = field(default=Path(), repr=False)  # set by load_kernel

    def __post_init__(self) -> None:
        check_op("Kernel", self.op)
        if callable(self.source):
            self._check_function(self.source)
        elif Path(self.source).suffix not in _OF_SUFFIX:
            raise ValueError(
                f"Kernel: source: got {self.source!r}, wanted a file that ends in "
                f"{', '.join(_OF_SUFFIX)}, or a Python function"
            )
        if self.name and not re.fullmatch(r"[A-Za-z_][\w.-]*", self.name):
            raise ValueError(
                f"Kernel: name: got {self.name!r}, wanted letters, digits, '_', '-' and '.', "
                "beginning with a letter; give one by name=... or rename the folder"
            )

    def _check_function(self, function: Callable[..., None]) -> None:
        try:
            inspect.signature(function).bind(**dict.fromkeys(python_names(self.op)))
        except TypeError as error:
            raise TypeError(
                f"Kernel: source: got {getattr(function, '__name__', function)}"
                f"{inspect.signature(function)}, wanted {declaration(self.op, 'python')}: {error}"
            ) from None

    @property
    def language(self) -> str:
        """One of LANGUAGES."""
        return "python" if callable(self.source) else _OF_SUFFIX[Path(self.source).suffix]

    @property
    def path(self) -> Path:
        """The file with the kernel."""
        return self.folder / ("kernel.py" if callable(self.source) else self.source)

    @property
    def description(self) -> str:
        return f"{self.op} in {LANGUAGES[self.language]} ({self.path})"


def check_op(who: str, op: str) -> None:
    if op not in SIGNATURES:
        raise ValueError(f"{who}: op: got {op!r}, wanted one of {', '.join(SIGNATURES)}")
