"""Runs pieces of work, item by item, in processes of their own, so that one fault hides nothing.

An illegal access on a GPU makes every later call of its process fail, and a kernel that waits for
ever takes the process with it. So a worker says on its standard output, one JSON object a line,
which item it begins and what came of it; when it dies or is silent for too long, the item it had
begun is the culprit and a new worker goes on with the rest.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

STOPPED = 1  # exit code of a worker that said why it cannot go on

Start = Callable[[str, Sequence[str]], "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Piece:
    """A section of the report. limit_s bounds the piece, item_limit_s the silence of a worker.

    findings is a regular expression for lines that accuse the item under way, such as those of
    compute-sanitizer.
    """

    name: str
    title: str
    items: tuple[str, ...]
    limit_s: float = 120.0
    item_limit_s: float = 60.0
    findings: str = ""


@dataclass
class Outcome:
    """What came of a piece: per item {"state": "ok" | "failed" | "skipped", ...}."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> list[str]:
        return [name for name, found in self.items.items() if found["state"] != "ok"]


def run_piece(piece: Piece, start: Start, deadline: float) -> Outcome:
    """All items of a piece; deadline is of time.monotonic(), for the whole report."""
    outcome = Outcome()
    begun = time.monotonic()
    end = min(begun + piece.limit_s, deadline)
    remaining = list(piece.items)
    while remaining:
        if time.monotonic() >= end:
            for item in remaining:
                outcome.items[item] = {"state": "skipped", "error": "no time was left"}
            break
        before = len(remaining)
        _one_worker(piece, start, remaining, outcome, end)
        if len(remaining) == before:  # and the next one would fare no better
            for item in remaining:
                outcome.items[item] = {"state": "failed", "error": "its worker did not start"}
            break
    outcome.seconds = time.monotonic() - begun
    return outcome


def _one_worker(
    piece: Piece, start: Start, remaining: list[str], outcome: Outcome, end: float
) -> None:
    """Works off `remaining` from the front until the worker is done, dead or out of time."""
    worker = start(piece.name, tuple(remaining))
    assert worker.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(worker.stdout, lines), daemon=True).start()
    current: str | None = None
    latest = "start"
    accused: dict[str, list[str]] = {}
    try:
        while True:
            wait_s = max(min(piece.item_limit_s, end - time.monotonic()), 0.01)
            line = lines.get(timeout=wait_s)
            if line is None:
                break
            said = _parse(line)
            if said is None:
                if piece.findings and re.search(piece.findings, line):
                    accused.setdefault(latest, []).append(line.strip())
                continue
            if said["state"] == "begin":
                current = latest = said["item"]
                continue
            outcome.items[said.pop("item")] = said
            if current in remaining:
                remaining.remove(current)
            current = None
        worker.wait(timeout=10)
    except (queue.Empty, subprocess.TimeoutExpired):
        os.killpg(worker.pid, signal.SIGKILL)  # its children too: a sanitizer starts some
        worker.wait()
        cause = f"nothing for {wait_s:.0f} s: it hangs, or its time was up"
    else:
        cause = f"its process died with exit code {worker.returncode}"
    finally:
        worker.stdout.close()
    if current is not None:
        outcome.items[current] = {"state": "failed", "error": cause}
        remaining.remove(current)
    elif worker.returncode not in (0, STOPPED) and not accused:
        outcome.items["end"] = {"state": "failed", "error": cause}
    for item, lines_said in accused.items():
        said_first = "; ".join(lines_said[:3])
        error = f"{len(lines_said)} findings: {said_first}"
        outcome.items[item] = {"state": "failed", "error": error}


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _parse(line: str) -> dict[str, Any] | None:
    """A line of the protocol, None for whatever else a library prints."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and "item" in said and "state" in said else None
