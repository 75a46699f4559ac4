#!/usr/bin/env python3
"""Runs every CUDA kernel on the CPU under the race checker, or under the address and
undefined-behaviour sanitizers, on small shapes.

    python scripts/simt_races.py [--mode tsan|asan] [--keep FOLDER] [FAMILY ...]

Builds tests/simt/races with the host compiler alone (a minute or two), runs it, and prints each
race once, by the two lines of kernel code that it is between. Exit code 1 on any finding.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("conv2d", "gemm", "pool", "norm", "softmax", "elementwise", "upsample")
_FRAME = re.compile(r"^\s+#\d+ .*?([^/\s]+\.(?:cu|cuh)):(\d+)")
_EXECUTOR = re.compile(r"^\s+#\d+ (\S.*?) \S+/csrc/simt/(\S+?):(\d+)")
_ACCESS = re.compile(r"^  (Previous )?(?:[Aa]tomic )?([Ww]rite|[Rr]ead) of size (\d+)")


def accesses(report: list[str]) -> list[str]:
    """'write at conv2d.cuh:80' for each of the two accesses of a race."""
    found: list[str] = []
    open_access: str | None = None
    fallback: str | None = None
    for line in [*report, ""]:
        access = _ACCESS.match(line)
        if access or not line.strip():
            if open_access and fallback:
                found.append(f"{open_access} at {fallback}")
            open_access = access.group(2).lower() if access else None
            fallback = None
            continue
        frame = _FRAME.match(line)
        if open_access and frame:
            # device.cuh only passes an access on: the kernel's line is further out.
            found.append(f"{open_access} at {frame.group(1)}:{frame.group(2)}")
            open_access = None
        elif open_access and fallback is None and (inner := _EXECUTOR.match(line)):
            fallback = f"{inner.group(2)}:{inner.group(3)}"
    return found


def findings(text: str) -> list[str]:
    """One line for each different report of a sanitizer."""
    lines = text.splitlines()
    found: dict[str, None] = {}
    starts = [i for i, line in enumerate(lines) if "WARNING: ThreadSanitizer" in line]
    for start in starts:
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("SUMMARY")), None)
        found.setdefault("race: " + ", ".join(accesses(lines[start:end])))
    for line in lines:
        if "runtime error:" in line or line.startswith("SUMMARY: AddressSanitizer"):
            found.setdefault(line)
    return list(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--mode", choices=("tsan", "asan"), default="tsan")
    parser.add_argument("--keep", type=Path, help="build here, and use what was built before")
    args = parser.parse_args()
    unknown = [name for name in args.families if name not in FAMILIES]
    if unknown:
        parser.error(f"FAMILY: got {unknown[0]!r}, wanted one of {', '.join(FAMILIES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / f"races-{args.mode}"
        if not program.exists():
            sources = [*sorted((ROOT / "csrc" / "cuda").glob("*.cu"))]
            sources.append(ROOT / "tests" / "simt" / "races" / "main.cpp")
            build = ROOT / "scripts" / "build_simt_program.sh"
            subprocess.run([build, program, args.mode, *sources], check=True)
        environment = {
            **os.environ,
            "ASAN_OPTIONS": "detect_leaks=0",
            "TSAN_OPTIONS": "exitcode=66",
        }
        bad = False
        for family in args.families or FAMILIES:
            done = subprocess.run(
                [program, family], capture_output=True, text=True, env=environment
            )
            found = findings(done.stderr)
            if done.returncode != 0 and not found:
                found = [(done.stdout + done.stderr).strip() or f"exit code {done.returncode}"]
            bad = bad or bool(found)
            print(f"{family}: {'ok' if not found else ''}", *found, sep="\n  ", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
