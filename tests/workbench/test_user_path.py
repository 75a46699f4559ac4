"""README's section "Your own kernel", typed as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiler import needs_compiler

import convsmith

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
STEPS = ("own-kernel", "own-kernel-race", "own-kernel-bounds", "own-kernel-mended")


def lines_shown(step):
    """What the README shows of a step's output, from the first number or name of a line on."""
    after = README.partition(f"<!-- command: {step} -->")[2].partition("<!--")[0]
    shown = re.search(r"```bash\n.*?```\n\n```\n(.*?)```", after, re.S)
    return shown[1].splitlines() if shown else []


@needs_compiler
@pytest.mark.slow
def test_as_typed(tmp_path):
    """Right; a race at its line; an access at its line; right. In less than ten minutes."""
    tool = tmp_path / "bin" / "convsmith"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m convsmith "$@"\n')
    tool.chmod(0o755)
    package = str(Path(convsmith.__file__).parents[1])
    environment = {
        **os.environ,
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "PYTHONPATH": package,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),  # nothing is built yet
    }
    start = time.monotonic()
    for step, code in zip(STEPS, (0, 1, 1, 0), strict=True):
        block = re.search(rf"<!-- command: {step} -->\n```bash\n(.*?)```", README, re.S)
        done = subprocess.run(
            ["sh", "-e", "-c", block[1]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stdout.endswith("\nok\n" if code == 0 else "\nFAIL\n")
        for line in lines_shown(step):
            # Seconds differ from machine to machine, and what is left out is marked.
            wanted = re.split(r" +[\d.]+ s\b", line.removesuffix("..."))[0]
            assert wanted in done.stdout, f"{step}: README shows {wanted!r}, got {done.stdout}"
    assert time.monotonic() - start < 600


def test_what_the_readme_lists():
    from convsmith.workbench.signatures import SIGNATURES

    section = README.partition("## Your own kernel")[2].partition("\n## ")[0]
    listed = section.partition("There are starting points for")[2].partition(", each in")[0]
    assert re.findall(r"`(\w+)`", listed) == list(SIGNATURES)
