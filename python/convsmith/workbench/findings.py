"""What the sanitizers say, in one line each: what happened and at which line of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# "    #0 0x55d0 in conv2d_kernel(...) /home/me/my_conv/conv2d_forward.cu:35 (program+0x12)"
_FRAME = re.compile(r"^\s+#\d+ .*? (/[^:]+):(\d+)")
_RACE_ACCESS = re.compile(r"^  (?:Previous )?(?:atomic )?(write|read) of size", re.IGNORECASE)
_BAD_ACCESS = re.compile(r"^(READ|WRITE) of size (\d+)|caused by a (READ|WRITE) memory access")
_ERROR = re.compile(r"ERROR: \w+Sanitizer: ([\w-]+)")
_UNDEFINED = re.compile(r"^(/[^:]+):(\d+):\d+: runtime error: (.*)")
_WHERE = "convsmith: "  # main.cpp names the array


def findings(text: str, folder: Path) -> list[str]:
    """One line for each different report. folder: where the kernel's own files are."""
    lines = text.splitlines()
    found: dict[str, None] = {}
    for i, line in enumerate(lines):
        if "WARNING: ThreadSanitizer: data race" in line:
            if race := _race(_report(lines, i), folder):
                found.setdefault(race)
        elif match := _ERROR.search(line):
            found.setdefault(_error(match[1], lines, i, folder))
        elif match := _UNDEFINED.match(line):
            found.setdefault(f"{Path(match[1]).name}:{match[2]}: {match[3]}")
    return list(found)


def _report(lines: list[str], start: int) -> list[str]:
    end = next((i for i in range(start, len(lines)) if lines[i].startswith("SUMMARY")), len(lines))
    return lines[start : end + 1]


def _place(stack: list[str], folder: Path) -> str:
    """The innermost line of the kernel's own files, else of any file."""
    anywhere = ""
    for line in stack:
        frame = _FRAME.match(line)
        if frame and Path(frame[1]).parent == folder:
            return f"{Path(frame[1]).name}:{frame[2]}"
        if frame and not anywhere:
            anywhere = f"{Path(frame[1]).name}:{frame[2]}"
    return anywhere or "an unknown line"


def _stack(report: list[str], start: int) -> list[str]:
    """The frames that follow line `start`."""
    rest = report[start + 1 :]
    first = next((i for i, line in enumerate(rest) if _FRAME.match(line)), len(rest))
    end = next((i for i in range(first, len(rest)) if not rest[i].strip()), len(rest))
    return rest[first:end]


def _race(report: list[str], folder: Path) -> str:
    """Empty for a report that was cut off."""
    accesses = []
    for i, line in enumerate(report):
        if match := _RACE_ACCESS.match(line):
            accesses.append((_place(_stack(report, i), folder), match[1].lower()))
    if len(accesses) < 2:
        whole = report[-1].startswith("SUMMARY")  # else the process ended while it was written
        return f"{_place(report, folder)}: race, of which only one side is known" if whole else ""
    # The write first: behind it a barrier is missing.
    (first, what), (second, other) = sorted(accesses, key=lambda access: access[1] != "write")[:2]
    return (
        f"{first}: race: a {what} here and a {other} at {second}, by two threads with no barrier "
        "between them"
    )


def _error(kind: str, lines: list[str], start: int, folder: Path) -> str:
    report = _report(lines, start)
    place = _place(_stack(report, 0), folder)
    access = next(_accesses(report), "")
    before = lines[start - 2 : start] if start > 1 else lines[:start]
    where = next((line for line in before if line.startswith(_WHERE)), "")
    if access and where:
        return f"{place}: invalid {access}: {where.removeprefix(_WHERE)}"
    return f"{place}: {kind}{f', a {access}' if access else ''}"


def _accesses(report: list[str]) -> Iterator[str]:
    for line in report:
        if match := _BAD_ACCESS.search(line):
            yield (match[1] or match[3]).lower() + (f" of {match[2]} bytes" if match[2] else "")
