"""The process in which `convsmith check --kernel` runs a kernel: see supervise.py.

    python -m convsmith.workbench.worker FOLDER SEED

The case "load" answers with what the kernel is, as JSON; "INDEX:FILL:POLICY:SCHEDULE_SEED" runs
case INDEX of the op's list and answers with its Result.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from convsmith.testing.cases import cases_for
from convsmith.testing.check import Result, run_case
from convsmith.workbench.backend import KernelBackend, load_kernel


def describe(backend: KernelBackend, seed: int) -> dict[str, Any]:
    """What the parent needs to know; it does not run kernel.py itself."""
    kernel = backend.kernel
    source = str(kernel.path)
    supported = [
        index
        for index, case in enumerate(cases_for(kernel.op, seed))
        if backend.supports(kernel.op, np.dtype(np.float32), getattr(case, "shape", None))
    ]
    return {
        "name": kernel.name,
        "op": kernel.op,
        "language": kernel.language,
        "source": source,
        "flags": list(kernel.flags),
        "supported": supported,
    }


def run(backend: KernelBackend, name: str, seed: int) -> Result:
    index, fill, policy, schedule_seed = name.split(":")
    case = cases_for(backend.kernel.op, seed)[int(index)]
    order: Any = contextlib.nullcontext()
    if policy != "round_robin":
        order = backend.schedule(policy, int(schedule_seed))
    with order:
        result = run_case(case, backend.kernel.op, backend, fill)
    # What the engine puts in front of a message is for backends with several algorithms.
    message = result.message
    for noise in ("algorithm=auto: ", "raised KernelError: "):
        message = message.removeprefix(noise)
    return replace(result, message=message)


def main(folder: str, seed: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)  # line by line
    os.dup2(2, 1)  # what the kernel prints is no answer
    backend: KernelBackend | None = None
    for line in sys.stdin:
        name = line.strip()
        if backend is None and name != "load":
            backend = load_kernel(folder)
        answers.write(f"begin {name}\n")
        if name == "load":
            try:
                backend = load_kernel(folder)
                answer = describe(backend, seed)
            except (OSError, RuntimeError, ValueError) as error:
                answer = {"error": str(error)}
        else:
            assert backend is not None
            answer = asdict(run(backend, name, seed))
        answers.write(f"end {name} {json.dumps(answer)}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
