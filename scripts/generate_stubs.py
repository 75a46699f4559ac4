#!/usr/bin/env python3
"""Writes python/convsmith/_cpu.pyi from the native module; --check only compares.

Needs pybind11-stubgen, and convsmith installed (or on PYTHONPATH) with its native module. The
comparison is one of syntax trees, so formatting does not matter. Exit code 1: out of date.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).resolve().parent.parent / "python/convsmith/_cpu.pyi"

# What pybind11 accepts where C++ wants a number differs between its releases; callers pass these.
_SIMPLER = (
    (re.compile(r"typing\.SupportsFloat( \| typing\.SupportsIndex)?"), "float"),
    (re.compile(r"typing\.SupportsInt( \| typing\.SupportsIndex)?"), "int"),
)


def generate() -> str:
    """The stub's text. Raises SystemExit where the generator fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "pybind11_stubgen", "convsmith._cpu", "-o", folder, "--exit-code"]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"generate_stubs: pybind11-stubgen failed:\n{done.stdout}{done.stderr}")
        text = (Path(folder) / "convsmith/_cpu.pyi").read_text()
    for pattern, simple in _SIMPLER:
        text = pattern.sub(simple, text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    text = generate()
    if args.check:
        same = STUB.exists() and tree(STUB.read_text()) == tree(text)
        print(f"{STUB.name}: {'current' if same else 'out of date; run scripts/generate_stubs.py'}")
        return 0 if same else 1
    STUB.write_text(text)
    if shutil.which("ruff"):
        for words in (["format"], ["check", "--fix"]):
            subprocess.run(["ruff", *words, "--quiet", str(STUB)], check=True)
    print(f"wrote {STUB}")
    return 0


def tree(text: str) -> set[str]:
    """Every statement as text, docstrings included, imports left out: linters reorder those."""
    body = ast.parse(text).body
    return {ast.dump(node) for node in body if not isinstance(node, (ast.Import, ast.ImportFrom))}


if __name__ == "__main__":
    raise SystemExit(main())
