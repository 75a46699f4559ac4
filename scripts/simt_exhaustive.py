#!/usr/bin/env python3
"""Runs every CUDA kernel on the CPU on the whole list of cases under many orders of threads.

    python scripts/simt_exhaustive.py [--seeds N] [OP ...]

Every op, case, storage, tile, alignment and algorithm (tests/simt/every_case.py): as float64 has it
under the first schedule, and the same bits under every other policy and seed. Then every kernel
that is compiled into the module must have run, each template instantiation by itself. Needs
convsmith with its tests' requirements. Exit code 1: something is wrong, or was not reached.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "simt"))
import kernels
from every_case import POLICIES, Run, runs, wrong
from tqdm import tqdm

from convsmith.backends.table import OPS


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("ops", nargs="*", metavar="OP", help="all by default")
    parser.add_argument("--seeds", type=int, default=3, help="of each policy (default: 3)")
    args = parser.parse_args()
    unknown = [op for op in args.ops if op not in OPS]
    if unknown:
        parser.error(f"OP: got {unknown[0]!r}, wanted one of {', '.join(OPS)}")
    schedules = [(policy, seed) for seed in range(args.seeds) for policy in POLICIES]
    plan: list[Run] = [run for op in args.ops or OPS for run in runs(op)]
    begin = time.monotonic()
    kernels.take_launched()
    said = []
    for run in tqdm(plan, unit="run", disable=None):
        found = wrong(run, schedules)
        if found:
            said.append(found)
            tqdm.write(found)
    seconds = time.monotonic() - begin
    print(
        f"{len(plan)} runs by {len(schedules)} schedules in {seconds:.0f} s: {len(said)} wrong",
        flush=True,
    )
    missed: list[str] = []
    if not args.ops:
        existing = kernels.existing()
        missed = sorted(existing[at] for at in set(existing) - kernels.take_launched())
        print(f"{len(existing) - len(missed)} of {len(existing)} kernels ran", *missed, sep="\n  ")
    return 1 if said or missed else 0


if __name__ == "__main__":
    sys.exit(main())
