#!/usr/bin/env python3
"""Prints a command block of README.md: the one that follows <!-- command: NAME -->."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def command(name: str) -> str:
    """The text of the block. Raises SystemExit where there is not exactly one of that name."""
    pattern = rf"<!-- command: {re.escape(name)} -->\n```bash\n(.*?)```"
    found = re.findall(pattern, README.read_text(), re.DOTALL)
    if len(found) != 1:
        sys.exit(f"readme_command: README.md has {len(found)} commands {name!r}, wanted 1")
    return str(found[0])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: readme_command.py NAME")
    print(command(sys.argv[1]), end="")
