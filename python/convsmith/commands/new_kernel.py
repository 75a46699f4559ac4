"""`convsmith new-kernel`: a small kernel that works, to start your own from."""

from __future__ import annotations

import argparse
from pathlib import Path

from convsmith.workbench.build import include_folder
from convsmith.workbench.kernel import LANGUAGES, Kernel, check_op
from convsmith.workbench.signatures import SIGNATURES

DESCRIPTION = (
    "Writes a folder with a small kernel that works, and a kernel.py that says what it is."
)

_SUFFIXES = {"cuda": ".cu", "cpp": ".cpp"}

_REGISTRATION = '''\
"""Says what this folder holds; `convsmith check --kernel` on it checks the kernel."""

from convsmith.workbench import Kernel

kernel = Kernel(op="{op}", source="{source}")
'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("op", metavar="OP", help=", ".join(SIGNATURES))
    parser.add_argument(
        "folder", metavar="DIR", help="the folder to write; its name is the kernel's"
    )
    parser.add_argument("--language", choices=LANGUAGES, required=True)


def run(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    for path in write(args.op, args.language, folder):
        print(path)
    print(f"check it: convsmith check --kernel {folder}")
    return 0


def write(op: str, language: str, folder: Path) -> list[Path]:
    """Write the files and return them.

    Raises ValueError for an op without a template or a folder whose name is no kernel's,
    FileExistsError rather than overwrite anything.
    """
    check_op("new-kernel", op)
    name = folder.resolve().name
    files = _files(op, language)
    Kernel(op=op, source=f"{op}.cpp", name=name)  # refuses a name that would be refused later
    for path in (folder / file for file in files):
        if path.exists():
            raise FileExistsError(f"new-kernel: DIR: got {folder}, where {path} exists already")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in files]


def _files(op: str, language: str) -> dict[str, str]:
    """Name -> content."""
    if language == "python":
        templates = Path(__file__).resolve().parents[1] / "workbench" / "templates"
        return {"kernel.py": (templates / f"{op}.py").read_text(encoding="utf-8")}
    source = f"{op}{_SUFFIXES[language]}"
    template = include_folder() / "workbench" / "templates" / language / source
    return {
        "kernel.py": _REGISTRATION.format(op=op, source=source),
        source: template.read_text(encoding="utf-8"),
    }
