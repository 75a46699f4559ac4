"""`convsmith check --kernel DIR`: one kernel of a user's against everything that convsmith knows.

Results: every case of the op's list, as for convsmith's own backends. Then small cases again: a
CUDA kernel with its threads in other orders, under the address sanitizer and under the race
checker; a C++ kernel under the address sanitizer. Whatever runs the kernel's own code is a process
of its own (supervise.py).
"""

from __future__ import annotations

import json
import math
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.testing.cases import DEFAULT_SEED, cases_for
from convsmith.testing.check import Result
from convsmith.testing.problem import Case, call
from convsmith.workbench import build
from convsmith.workbench.arguments import Values, write_problem
from convsmith.workbench.backend import KernelBackend
from convsmith.workbench.findings import findings
from convsmith.workbench.kernel import Kernel, KernelError
from convsmith.workbench.supervise import MOST_LOST, Ran, supervise

TIME_LIMIT = 30.0  # seconds for one case
_TO_LOAD = 600.0  # to compile the kernel and to run its kernel.py
_MOST_FAILURES = 5  # printed for each stage

# Cases for other orders and for the sanitizers, which take their time, by scalar steps: small ones,
# but with several tiles and rounds of a loop.
_SMALL = 20_000
_ORDERS = (("skew", 1), ("random", 2), ("random", 3))

_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:exitcode=66",
    "TSAN_OPTIONS": "exitcode=0:halt_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@dataclass
class Stage:
    """One kind of check. failures: a line each. not_run: cases left out after too many crashes."""

    title: str
    runs: int = 0
    worst: float = 0.0
    failures: list[str] = field(default_factory=list)
    not_run: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.runs > 0 and not self.failures and not self.not_run


@dataclass
class KernelReport:
    """What `check_kernel` found. results: of the stages that compare with the truth."""

    kernel: Kernel
    stages: list[Stage] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    printed: str = ""  # by the kernel itself

    @property
    def ok(self) -> bool:
        return bool(self.stages) and all(stage.ok for stage in self.stages)


def check_kernel(
    folder: str | Path,
    *,
    seed: int = DEFAULT_SEED,
    time_limit: float = TIME_LIMIT,
    on_stage: Callable[[Stage], None] | None = None,
    on_kernel: Callable[[Kernel], None] | None = None,
) -> KernelReport:
    """Check the kernel of a folder. Raises KernelError for one that does not load or build."""
    kernel, supported = _load(folder, seed)
    if on_kernel is not None:
        on_kernel(kernel)
    report = KernelReport(kernel)
    cases = cases_for(kernel.op, seed)
    small = [index for index in supported if cases[index].cost <= _SMALL]

    def stage(title: str, fill: Callable[[Stage], None]) -> None:
        made, start = Stage(title), time.monotonic()
        fill(made)
        made.seconds = time.monotonic() - start
        report.stages.append(made)
        if on_stage is not None:
            on_stage(made)

    def results(names: Sequence[str]) -> Callable[[Stage], None]:
        return lambda made: _compare(report, made, folder, names, seed, time_limit)

    def sanitize(sanitizer: str) -> Callable[[Stage], None]:
        chosen = [cases[index] for index in small]
        return lambda made: _sanitize(made, kernel, sanitizer, chosen, time_limit)

    plain = [f"{i}:{fill}:round_robin:0" for i in supported for fill in cases[i].fills]
    stage("results", results(plain))
    if kernel.language == "cuda":
        orders = [
            f"{i}:{cases[i].fills[0]}:{policy}:{number}"
            for i in small
            for policy, number in _ORDERS
        ]
        if report.ok:  # what is wrong in one order says nothing in another
            stage("other orders of threads", results(orders))
    if kernel.language != "python":
        stage("addresses", sanitize("addresses"))
    if kernel.language == "cuda":
        stage("races", sanitize("races"))
    return report


def _load(folder: str | Path, seed: int) -> tuple[Kernel, list[int]]:
    """The kernel, as its own process describes it, and the cases that it supports."""
    ran = next(supervise(_worker(folder, seed), ["load"], _TO_LOAD))
    if ran.lost:
        raise KernelError(f"{folder}: loading it {ran.lost}\n{ran.output}".rstrip())
    found = json.loads(ran.answer)
    if "error" in found:
        raise KernelError(found["error"])
    source = Path(found["source"])
    kernel = Kernel(
        op=found["op"],
        source=_python_source if found["language"] == "python" else source.name,
        name=found["name"],
        flags=found["flags"],
        folder=source.parent,
    )
    return kernel, found["supported"]


def _python_source(**_: Any) -> None:
    """Stands for a function that only the child has."""


def _worker(folder: str | Path, seed: int) -> list[str]:
    return [sys.executable, "-m", "convsmith.workbench.worker", str(folder), str(seed)]


def _compare(
    report: KernelReport,
    stage: Stage,
    folder: str | Path,
    names: Sequence[str],
    seed: int,
    time_limit: float,
) -> None:
    kernel = report.kernel
    for ran in supervise(_worker(folder, seed), names, time_limit):
        index, fill, policy, number = ran.name.split(":")
        case = cases_for(kernel.op, seed)[int(index)].id
        if ran.lost:
            result = Result(kernel.op, kernel.name, case, fill, math.inf, False, None, ran.lost)
        else:
            result = Result(**json.loads(ran.answer))
        report.results.append(result)
        report.printed += ran.output
        stage.runs += 1
        stage.worst = max(stage.worst, result.share)
        if not result.ok:
            how = fill if policy == "round_robin" else f"{fill}, {policy} order {number}"
            times = f", {result.share:.3g} times the tolerance" if result.share < math.inf else ""
            stage.failures.append(f"{kernel.op} on {case} ({how}): {result.message}{times}")
    stage.not_run = len(names) - stage.runs


def _sanitize(
    stage: Stage, kernel: Kernel, sanitizer: str, cases: Sequence[Case], time_limit: float
) -> None:
    try:
        command = _startable(build.program(kernel, sanitizer))
    except KernelError as error:  # no library of this sanitizer, say: the other one may be there
        stage.failures = [str(error)]
        return
    found: dict[str, str] = {}  # one of each kind
    bad = 0
    own = kernel.path.resolve().parent
    with tempfile.TemporaryDirectory() as work:
        for number, case in enumerate(cases):
            write_problem(Path(work) / str(number), kernel, _values(kernel, case))
        names = [str(number) for number in range(len(cases))]
        for ran in supervise(command, names, time_limit, folder=work, environment=_ENVIRONMENT):
            stage.runs += 1
            told = findings(ran.output, own) or _without_report(ran)
            for text in told:
                # But for lines of the source, other numbers are the same fault on another case.
                kind = re.sub(r"(?<![:\d])\d+", "", text)
                found.setdefault(kind, f"{text}; first on {cases[int(ran.name)].id}")
            bad += bool(told)
            if bad == MOST_LOST:  # more of the same, and each report takes its time
                break
    stage.failures = list(found.values())
    stage.not_run = len(cases) - stage.runs


def _startable(program: Path) -> list[str]:
    """The command that runs the program.

    The race checker wants fixed addresses, which a randomised layout of memory may have taken:
    setarch turns that off.
    """
    plain = [str(program)]
    commands = [plain]
    if shutil.which("setarch"):
        commands.append(["setarch", platform.machine(), "-R", *plain])
    said = ""
    for command in commands:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            return command
        said = said or done.stderr.strip()
    raise KernelError(
        f"{program}: a program under a sanitizer does not start here: {said}; if it is about the "
        "mapping of memory, try sudo sysctl vm.mmap_rnd_bits=28"
    )


def _without_report(ran: Ran) -> list[str]:
    """What went wrong where the sanitizer said nothing."""
    if not ran.lost:
        return [ran.answer] if ran.answer else []
    said = ran.output.strip().splitlines()
    return [f"{ran.lost}{f': {said[-1]}' if said else ''}"]


def _values(kernel: Kernel, case: Case) -> Values:
    """The kernel's arguments on this case."""
    problem = case.problem(kernel.op, case.fills[0])
    seen: list[Values] = []
    outputs = {out.name: np.zeros(out.shape, out.dtype) for out in problem.outputs}
    call(KernelBackend(kernel, seen.append), problem, outputs)
    return seen[0]


# ---- the command ----


def run(folder: str, seed: int, time_limit: float) -> KernelReport:
    """Check, and print each stage when it is done."""
    report = check_kernel(
        folder,
        seed=seed,
        time_limit=time_limit,
        on_kernel=lambda kernel: print(f"{kernel.name}: {kernel.description}", flush=True),
        on_stage=lambda stage: print("\n".join(_lines(stage)), flush=True),
    )
    if report.printed.strip():
        printed = report.printed.strip().splitlines()
        print("printed by the kernel:")
        print("\n".join(f"  {line}" for line in printed[:20]))
        if len(printed) > 20:
            print(f"  and {len(printed) - 20} more lines")
    print("ok" if report.ok else "FAIL")
    return report


def _lines(stage: Stage) -> Iterator[str]:
    verdict = "ok" if stage.ok else "FAIL"
    worst = f"worst {stage.worst:.3f} of the tolerance" if 0 < stage.worst <= 1 else ""
    runs = f"{stage.runs} runs"
    yield f"  {stage.title:<24} {runs:>9}  {verdict:<4}  {stage.seconds:5.1f} s  {worst}".rstrip()
    for text in stage.failures[:_MOST_FAILURES]:
        yield f"      {text}"
    if len(stage.failures) > _MOST_FAILURES:
        yield f"      and {len(stage.failures) - _MOST_FAILURES} more failures"
    if stage.not_run:
        yield f"      {stage.not_run} runs left out, after {MOST_LOST} bad ones"
    if stage.runs == 0 and not stage.failures:
        yield "      no case that the kernel supports"
