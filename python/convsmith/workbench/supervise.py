"""Runs cases in a process of their own, so that a kernel may crash, exit or never end.

The process gets the name of a case on standard input, one a line, and says on standard output
"begin NAME" and "end NAME ANSWER"; only then does it get the next, so that what it writes meanwhile
belongs to the case. Whatever ends it in between is that case's failure; the cases that are left go
to a fresh process. It may also end itself between two cases.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# After so many processes lost the remaining cases are not run: each may cost the time limit.
MOST_LOST = 5
_TO_START = 60.0  # seconds from the start of a process to its first case


@dataclass(frozen=True)
class Ran:
    """One case. lost: why there is no answer. output: what was written to standard error."""

    name: str
    answer: str = ""
    lost: str = ""
    output: str = ""


def supervise(
    command: Sequence[str],
    names: Sequence[str],
    time_limit: float,
    *,
    folder: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Ran]:
    """Run the cases in order. Ends early after MOST_LOST lost processes.

    time_limit: seconds for one case. folder: the working directory.
    """
    left = list(names)
    lost = 0
    while left and lost < MOST_LOST:
        with _running(command, folder, environment) as process:
            first = left[0]
            while left:
                ran = process.next_case(left[0], time_limit)
                if ran is None and left[0] != first:
                    break
                ran = ran or Ran(first, lost=process.why_lost(time_limit), output=process.errors())
                left.pop(0)
                yield ran
                if ran.lost:
                    lost += 1
                    break


@contextmanager
def _running(
    command: Sequence[str],
    folder: str | Path | None,
    environment: Mapping[str, str] | None,
) -> Iterator[_Process]:
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=None if environment is None else {**os.environ, **environment},
        ) as process,
    ):
        try:
            yield _Process(process, errors.fileno())
        finally:
            process.kill()


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], errors: int) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._names = process.stdin
        self._pipe = process.stdout.fileno()
        self._errors = errors
        self._pending = b""
        self._told = 0  # bytes of errors that an earlier case wrote

    def next_case(self, name: str, time_limit: float) -> Ran | None:
        """None: it did not come to this case."""
        with contextlib.suppress(BrokenPipeError):
            self._names.write(f"{name}\n".encode())
        if self._line_with(f"begin {name}", max(_TO_START, time_limit)) is None:
            return None
        answer = self._line_with(f"end {name}", time_limit)
        lost = self.why_lost(time_limit) if answer is None else ""
        return Ran(name, answer or "", lost, self.errors())

    def _line_with(self, start: str, seconds: float) -> str | None:
        """The rest of the next line that begins so; None when it does not come in time."""
        deadline = time.monotonic() + seconds
        while True:
            line, separator, rest = self._pending.partition(b"\n")
            if separator:
                self._pending = rest
                text = line.decode(errors="replace")
                if text == start or text.startswith(start + " "):
                    return text[len(start) + 1 :]
                continue  # something the kernel printed
            seconds = max(0.0, deadline - time.monotonic())
            if not select.select([self._pipe], [], [], seconds)[0]:
                return None
            read = os.read(self._pipe, 1 << 16)
            if not read:
                return None
            self._pending += read

    def why_lost(self, time_limit: float) -> str:
        try:
            # The pipe closes a moment before the process is gone.
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return f"did not end within {time_limit:g} s"
        if code >= 0:
            return f"ended the process with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:  # most real-time signals have none
            name = f"signal {-code}"
        return f"ended the process by {name} ({signal.strsignal(-code)})"

    def errors(self) -> str:
        """What was written to standard error since the last call."""
        # pread, because a seek would move the place where the process writes.
        text = os.pread(self._errors, os.fstat(self._errors).st_size - self._told, self._told)
        self._told += len(text)
        return text.decode(errors="replace")
