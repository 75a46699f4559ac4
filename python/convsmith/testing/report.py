"""`convsmith check`: its arguments, its table, its records, its exit code."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from convsmith.backends.table import OPS, ROWS, why_not
from convsmith.bench.layers import NETWORKS
from convsmith.testing.cases import DEFAULT_SEED
from convsmith.testing.check import LOOPS_LIMIT, Result, Selection, run_check
from convsmith.testing.on_device import on_numpy
from convsmith.testing.problem import FILLS

_MOST_FAILURES = 5  # printed per backend and op

TIME_LIMIT = 30.0  # seconds for one case of --kernel

_DTYPES = ("float32", "float16", "bfloat16")

_NOT_WITH_KERNEL = (
    *("op", "backend", "isa", "algorithm", "dtype", "network", "batch", "case", "fill", "exact"),
)

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
    add = parser.add_argument
    add(
        "--op",
        nargs="+",
        metavar="OP",
        help='ops to check, or the beginning of their names, such as "conv2d"; default: all',
    )
    add(
        "--backend",
        nargs="+",
        choices=(*backend_names(), *names_on_request()),
        help="backends to check; one that cannot run here is then a failure; "
        f"default: all that can run, without {', '.join(names_on_request())}",
    )
    add("--isa", nargs="+", help="instruction sets of native_cpu; default: all that can run")
    add(
        "--algorithm",
        nargs="+",
        help='algorithms to run, such as "direct"; default: "auto" and each that a backend lists',
    )
    add("--dtype", nargs="+", choices=_DTYPES, help="default: float32")
    add(
        "--network",
        nargs="+",
        choices=NETWORKS,
        help="the convolution layers of these networks, at their real sizes, instead of the list",
    )
    add("--batch", type=int, help="images a layer of --network gets; default: 1")
    add("--case", nargs="+", metavar="ID", help="only the cases of these names")
    add("--fill", nargs="+", choices=FILLS, help="default: both")
    add("--exact", action="store_true", help="only integers, whose sums must be right to the bit")
    add(
        "--seed",
        type=int,
        default=DEFAULT_SEED,
        help="draw other random shapes than the default ones (default: %(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="write every run into this file")
    add(
        "--kernel",
        metavar="DIR",
        help="check a kernel of your own instead; convsmith new-kernel writes one",
    )
    add(
        "--time-limit",
        type=float,
        default=TIME_LIMIT,
        metavar="SECONDS",
        help="for one case of --kernel (default: %(default)s)",
    )


def selection_of(args: argparse.Namespace) -> Selection:
    return Selection(
        dtypes=tuple(args.dtype or ("float32",)),
        algorithms=tuple(args.algorithm) if args.algorithm else None,
        fills=("integer",) if args.exact else tuple(args.fill or FILLS),
        cases=tuple(args.case) if args.case else None,
        seed=args.seed,
        networks=tuple(args.network or ()),
        batch=1 if args.batch is None else args.batch,
    )


def check_arguments(args: argparse.Namespace, selection: Selection, ops: Sequence[str]) -> None:
    """ValueError for what would otherwise end in an empty table, in no record, or be ignored."""
    for name in _NOT_WITH_KERNEL if args.kernel is not None else ():
        if getattr(args, name) is not None and getattr(args, name) is not False:
            raise ValueError(
                f"check: --{name}: got one with --kernel, wanted none: a kernel of your own is "
                "checked whole, as its kernel.py describes it"
            )
    known = {case.id for op in ops for case in replace(selection, cases=None).cases_for(op)}
    for case in selection.cases or ():
        if case not in known:
            raise ValueError(
                f"check: --case: got {case!r}, wanted the name of a case of the ops chosen, as the "
                "table prints them (--seed and --network decide which there are)"
            )
    if args.json and not args.json.absolute().parent.is_dir():
        raise ValueError(f"check: --json: got {args.json}, wanted a file in a folder that exists")


def reproduction(result: Result, selection: Selection) -> str:
    """The command that does this one run again."""
    backend, _, isa = result.backend.partition(" ")
    words = ["convsmith", "check", "--op", result.op, "--backend", backend]
    words += ["--isa", isa] if isa else []
    words += ["--algorithm", result.algorithm] if result.algorithm else []
    words += ["--dtype", result.dtype] if result.dtype != "float32" else []
    words += ["--case", result.case, "--fill", result.fill]
    words += ["--network", *selection.networks] if selection.networks else []
    words += ["--batch", str(selection.batch)] if selection.networks else []
    words += ["--seed", str(selection.seed)] if selection.seed != DEFAULT_SEED else []
    return shlex.join(words)


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


def table(results: Sequence[Result], selection: Selection) -> Iterator[str]:
    """Lines: per backend, a row per op, algorithm and type; under a failed row, its failures."""
    for backend in dict.fromkeys(result.backend for result in results):
        yield ""
        yield backend
        own = [result for result in results if result.backend == backend]
        labels = dict.fromkeys(map(_row, own))
        width = max(map(len, labels))
        yield f"  {'op':<{width}} {'runs':>5} {'worst':>7}  {'':<4}  worst case"
        for label in labels:
            rows = [result for result in own if _row(result) == label]
            worst = max(rows, key=lambda row: (not row.ok, row.share))
            failures = [row for row in rows if not row.ok]
            verdict = "FAIL" if failures else "ok"
            where = f"{worst.case} ({worst.fill}) at {worst.index}" if worst.share > 0 else ""
            line = (
                f"  {label:<{width}} {len(rows):>5} {_share(worst.share):>7}  {verdict:<4}  {where}"
            )
            yield line.rstrip()
            for row in failures[:_MOST_FAILURES]:
                times = f", {row.share:.3g} times the tolerance" if row.share < math.inf else ""
                yield f"      {row.op} on {row.case} ({row.fill}): {row.message}{times}"
                yield f"        {reproduction(row, selection)}"
            if len(failures) > _MOST_FAILURES:
                yield f"      and {len(failures) - _MOST_FAILURES} more failures of {label}"


def _row(result: Result) -> str:
    """The op, with what tells one of its rows from another."""
    words = [result.op]
    if result.algorithm not in ("", "auto"):
        words.append(result.algorithm)
    if result.dtype != "float32":
        words.append(result.dtype)
    return " ".join(words)


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


def _run_module(
    module: Any,
    ops: Sequence[str],
    selection: Selection,
    isas: Sequence[str] | None,
    progress: Any,
) -> list[Result]:
    """The backend as it is, or once for each instruction set that it can run with."""
    if not hasattr(module, "instruction_sets"):
        return run_check(ops, [module], selection, progress=progress)
    results = []
    for isa in isas or module.instruction_sets():
        with module.instruction_set(isa):
            found = run_check(ops, [module], selection, progress=progress)
        results += [replace(result, backend=f"{module.NAME} {isa}") for result in found]
    return results


def kernel_reproduction(args: argparse.Namespace) -> str:
    """The command that checks this kernel again; it has no single runs."""
    words = ["convsmith", "check", "--kernel", args.kernel]
    words += ["--seed", str(args.seed)] if args.seed != DEFAULT_SEED else []
    words += ["--time-limit", f"{args.time_limit:g}"] if args.time_limit != TIME_LIMIT else []
    return shlex.join(words)


def kernel_record(report: Any, args: argparse.Namespace, selection: Selection) -> dict[str, Any]:
    """What --json writes of a KernelReport: its stages, whose failures count, and the runs."""
    command = kernel_reproduction(args)
    found = record(report.results, selection, lambda result: command)
    stages = [
        {key: getattr(stage, key) for key in ("title", "runs", "failures", "not_run")}
        for stage in report.stages
    ]
    # A run that failed is a failure of its stage.
    failures = sum(len(stage.failures) for stage in report.stages)
    return {**found, "failures": failures, "command": command, "stages": stages}


def record(
    results: Sequence[Result],
    selection: Selection,
    command: Callable[[Result], str] | None = None,
) -> dict[str, Any]:
    """What --json writes: each run, with the command that does it again where it failed."""
    runs = []
    for result in results:
        run = asdict(result)
        run["share"] = result.share if result.share < math.inf else None
        if not result.ok:
            run["command"] = command(result) if command else reproduction(result, selection)
        runs.append(run)
    failures = sum(not result.ok for result in results)
    return {"selection": asdict(selection), "failures": failures, "runs": runs}


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
    nothing to run at all. 2: an op or a case that does not exist.
    """
    selection = selection_of(args)
    try:
        ops = matching_ops(args.op)
        check_arguments(args, selection, ops)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if args.kernel is not None:
        workbench = importlib.import_module("convsmith.workbench.check")
        report = workbench.run(args.kernel, args.seed, args.time_limit)
        _write(args.json, kernel_record(report, args, selection))
        return 0 if report.ok else 1
    modules, unavailable = _load(args.backend)
    with _progress() as progress:
        results = [
            result
            for module in modules
            for result in _run_module(module, ops, selection, args.isa, progress)
        ]
    print(_NOTE)
    lines = table(results, selection)
    for line in (*lines, "", *unavailable, *_unsupported(modules, ops, results)):
        print(line)
    failed = [result for result in results if not result.ok]
    good = bool(results) and not failed and not (args.backend and unavailable)
    print(f"{len(results)} runs, {len(failed)} failures: {'ok' if good else 'FAIL'}")
    if failed:
        names = dict.fromkeys(f"{result.backend} {result.op}" for result in failed)
        print(f"failed: {', '.join(names)}")
    _write(args.json, record(results, selection))
    return 0 if good else 1


def _write(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(found, indent=1) + "\n")
