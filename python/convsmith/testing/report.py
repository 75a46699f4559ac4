"""`convsmith check`: its arguments, its table, its exit code."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from convsmith.backends.table import OPS, ROWS, why_not
from convsmith.testing.cases import DEFAULT_SEED
from convsmith.testing.check import LOOPS_LIMIT, Result, run_check
from convsmith.testing.on_device import on_numpy

_MOST_FAILURES = 5  # printed per backend and op

_NOTE = f"""\
worst: the largest error as a share of its tolerance (testing/tolerance.py); up to 1 is good.
The truth is the reference backend in float64. The reference itself is compared with plain Python
loops instead, on the cases of at most {LOOPS_LIMIT} scalar steps."""


def backend_names() -> tuple[str, ...]:
    """Every backend that the dispatch table may choose, available here or not."""
    return tuple(dict.fromkeys(name for row in ROWS for name in row.backends))


def names_on_request() -> tuple[str, ...]:
    """The backends that run only where they are asked for by name, too slow for anything else."""
    return tuple(dict.fromkeys(name for row in ROWS for name in row.on_request))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `convsmith check`."""
    parser.add_argument(
        "--op",
        nargs="+",
        metavar="OP",
        help='ops to check, or the beginning of their names, such as "conv2d"; default: all',
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=(*backend_names(), *names_on_request()),
        help="backends to check; one that cannot run here is then a failure; "
        f"default: all that can run, without {', '.join(names_on_request())}",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=DEFAULT_SEED,
        help="draw other random shapes than the default ones (default: %(default)s)",
    )
    parser.add_argument(
        "--kernel",
        metavar="DIR",
        help="check a kernel of your own instead; convsmith new-kernel writes one",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for one case of --kernel (default: %(default)s)",
    )


def matching_ops(names: Sequence[str] | None) -> tuple[str, ...]:
    """The ops that are, or begin with, one of `names`; ValueError where a name matches none."""
    if not names:
        return OPS
    for name in names:
        if not any(op.startswith(name) for op in OPS):
            raise ValueError(f"check: --op: got {name!r}, wanted one of {', '.join(OPS)}")
    return tuple(op for op in OPS if op.startswith(tuple(names)))


def _share(value: float) -> str:
    if value == 0:
        return "exact"
    if math.isinf(value):
        return "-"
    return f"{value:.3f}" if value < 100 else f"{value:.1e}"


def table(results: Sequence[Result]) -> Iterator[str]:
    """Lines: per backend, a row per op; under a failed row, its first failures."""
    for backend in dict.fromkeys(result.backend for result in results):
        yield ""
        yield backend
        yield f"  {'op':<36} {'runs':>5} {'worst':>7}  {'':<4}  worst case"
        own = [result for result in results if result.backend == backend]
        for op in dict.fromkeys(result.op for result in own):
            rows = [result for result in own if result.op == op]
            worst = max(rows, key=lambda row: (not row.ok, row.share))
            failures = [row for row in rows if not row.ok]
            verdict = "FAIL" if failures else "ok"
            where = f"{worst.case} ({worst.fill})" if worst.share > 0 else ""
            line = f"  {op:<36} {len(rows):>5} {_share(worst.share):>7}  {verdict:<4}  {where}"
            yield line.rstrip()
            for row in failures[:_MOST_FAILURES]:
                times = f", {row.share:.3g} times the tolerance" if row.share < math.inf else ""
                yield f"      {op} on {row.case} ({row.fill}): {row.message}{times}"
            if len(failures) > _MOST_FAILURES:
                yield f"      and {len(failures) - _MOST_FAILURES} more failures of {op}"


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar through tqdm where it is installed and somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        tqdm = importlib.import_module("tqdm")
    except ImportError:
        yield None
        return
    with tqdm.tqdm(leave=False, unit="run") as bar:

        def show(done: int, total: int, label: str) -> None:
            bar.total = total
            bar.set_description(label, refresh=False)
            bar.update(done - bar.n)

        yield show


def _load(names: Sequence[str] | None) -> tuple[list[Any], list[str]]:
    """The backend modules, and a line for each that cannot run here."""
    modules, lines = [], []
    for name in names or backend_names():
        reason = why_not(name)
        if reason:
            lines.append(f"{name}: not available: {reason}")
        else:
            modules.append(on_numpy(importlib.import_module(f"convsmith.backends.{name}")))
    return modules, lines


def _run_variants(module: Any, ops: Sequence[str], seed: int, progress: Any) -> list[Result]:
    """The backend as it is, or once for each instruction set that it can run with."""
    if not hasattr(module, "instruction_sets"):
        return run_check(ops, [module], seed=seed, progress=progress)
    results = []
    for isa in module.instruction_sets():
        with module.instruction_set(isa):
            found = run_check(ops, [module], seed=seed, progress=progress)
        results += [replace(result, backend=f"{module.NAME} {isa}") for result in found]
    return results


def _unsupported(
    modules: Sequence[Any], ops: Sequence[str], results: Sequence[Result]
) -> Iterator[str]:
    ran = {(result.backend.split()[0], result.op) for result in results}
    for module in modules:
        missing = [op for op in ops if (module.NAME, op) not in ran]
        if missing:
            yield f"{module.NAME}: not supported, so not run: {', '.join(missing)}"


def run(args: argparse.Namespace) -> int:
    """Check, print the table, and return the exit code.

    0: every run was good. 1: a failure, a backend asked for by name that cannot run here, or
    nothing to run at all. 2: an op that does not exist.
    """
    if args.kernel is not None:
        workbench = importlib.import_module("convsmith.workbench.check")
        return int(workbench.run(args.kernel, args.seed, args.time_limit))
    try:
        ops = matching_ops(args.op)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    modules, unavailable = _load(args.backend)
    with _progress() as progress:
        results = [
            result
            for module in modules
            for result in _run_variants(module, ops, args.seed, progress)
        ]
    print(_NOTE)
    for line in (*table(results), "", *unavailable, *_unsupported(modules, ops, results)):
        print(line)
    failed = [result for result in results if not result.ok]
    good = bool(results) and not failed and not (args.backend and unavailable)
    print(f"{len(results)} runs, {len(failed)} failures: {'ok' if good else 'FAIL'}")
    if failed:
        names = dict.fromkeys(f"{result.backend} {result.op}" for result in failed)
        print(f"failed: {', '.join(names)}")
    return 0 if good else 1
