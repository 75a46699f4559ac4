"""`convsmith bench`: the kernels against the machine's limits, other libraries, and yesterday."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.backends.table import ROWS
from convsmith.bench import compare, record, table
from convsmith.bench.apart import run_apart
from convsmith.bench.climb import load_ladder
from convsmith.bench.layers import NETWORKS
from convsmith.bench.peers import PEERS, name_of
from convsmith.bench.plan import EVERY, WrongArguments, plan_of
from convsmith.bench.record import Record
from convsmith.bench.session import Plan, Session
from convsmith.bench.work import LIMITS
from convsmith.bench.works import DEMO, MATRICES, SOURCES

DESCRIPTION = (
    "Times convolutions and other ops at the sizes of well-known networks, each checked against "
    "the reference first, beside other libraries and the machine's measured limits. Exit code 1: "
    "a wrong result, or with --compare a slower row; 2: wrong arguments; 130: stopped by Ctrl-C, "
    "with what was measured kept."
)

_DIRECTIONS = ("forward", "backward", "backward_input", "backward_weight")
_DTYPES = tuple(name for name in LIMITS if name != "tf32")
_BACKENDS = tuple(dict.fromkeys(name for row in ROWS for name in row.all_backends))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to time")
    what.add_argument(
        "--network",
        nargs="+",
        choices=(*SOURCES, EVERY),
        metavar="NAME",
        default=["resnet50"],
        help=f"some of {', '.join(NETWORKS)}, {MATRICES} (products), {DEMO} (a training step of "
        f"convsmith demo), {EVERY}; default: resnet50",
    )
    what.add_argument(
        "--op",
        nargs="+",
        metavar="OP",
        help='ops, or the beginning of their names, or "all"; default: the convolutions, and all '
        f"of {MATRICES} and {DEMO}",
    )
    what.add_argument(
        "--direction",
        nargs="+",
        choices=_DIRECTIONS,
        metavar="NAME",
        help=f"some of {', '.join(_DIRECTIONS)}; default: all",
    )
    what.add_argument("--layer", nargs="+", metavar="LAYER", help="layers, or their beginnings")
    what.add_argument("--batch", nargs="+", type=int, default=[8], help="images (default: 8)")
    what.add_argument(
        "--dtype",
        nargs="+",
        choices=_DTYPES,
        metavar="NAME",
        default=["float32"],
        help=f"some of {', '.join(_DTYPES)}; default: float32",
    )
    who = parser.add_argument_group("who and how")
    who.add_argument(
        "--backend",
        nargs="+",
        choices=_BACKENDS,
        metavar="NAME",
        help=f"some of {', '.join(_BACKENDS)}; default: native_cpu",
    )
    who.add_argument(
        "--algorithm", nargs="+", metavar="NAME", help='of the convolutions; "all": every one'
    )
    who.add_argument(
        "--against",
        nargs="+",
        choices=PEERS,
        metavar="NAME",
        default=[],
        help=f"other libraries: some of {', '.join(PEERS)}",
    )
    who.add_argument(
        "--kernel", metavar="DIR", help="a kernel of your own, beside ours; see new-kernel"
    )
    who.add_argument(
        "--time-limit",
        type=float,
        default=1800.0,
        metavar="SECONDS",
        help="for the whole run of --kernel (default: %(default)g)",
    )
    who.add_argument("--threads", nargs="+", type=int, help="default: all that may be used")
    who.add_argument("--repeats", type=int, default=7, help="samples a row (default: 7)")
    who.add_argument(
        "--order",
        choices=("subject-first", "peer-first"),
        default="subject-first",
        help="in each round (default: %(default)s)",
    )
    out = parser.add_argument_group("what to do with it")
    out.add_argument("--json", type=Path, metavar="F", help="write the record, with every sample")
    out.add_argument("--plot", type=Path, metavar="DIR", help="write pictures (PNG)")
    out.add_argument("--report", type=Path, metavar="F", help="write one self-contained HTML page")
    out.add_argument(
        "--check", type=Path, metavar="F", help="of `convsmith check --json`: its errors, drawn too"
    )
    out.add_argument(
        "--record", type=Path, metavar="F", help="show and draw this record, measure nothing"
    )
    out.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="two records: which rows changed beyond the noise; measures nothing",
    )
    out.add_argument(
        "--ladder",
        nargs="+",
        metavar="NAME",
        help="gemm, conv2d: times each rung from the plain loops to the shipped kernel instead",
    )


def run(args: argparse.Namespace) -> int:
    if args.kernel is not None:
        return run_apart(_run, args, args.time_limit)
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        if args.compare:
            return _compare(*args.compare)
        if args.ladder:
            return _climb(args.ladder)
        _check_outputs(args)
        if args.record:
            found, interrupted = _read(args.record), False
            _show(found)
        else:
            found, interrupted = _measure(plan_of(args))
        _write(found, args)
    except WrongArguments as error:
        print(f"convsmith bench: {str(error).removeprefix('bench: ')}", file=sys.stderr)
        return 2
    if interrupted:
        print(f"stopped by Ctrl-C: {len(found['rows'])} rows were kept", file=sys.stderr)
        return 130
    faults = [entry for row in found["rows"] for entry in row["contenders"].values()]
    return 1 if any(entry["error"] for entry in faults) else 0


def _read(path: Path) -> Record:
    try:
        return record.read(path)
    except (OSError, ValueError) as error:
        raise WrongArguments(str(error)) from error


def _compare(old_path: Path, new_path: Path) -> int:
    old, new = _read(old_path), _read(new_path)
    try:
        found = compare.compare(old, new)
    except ValueError as error:
        raise WrongArguments(str(error)) from error
    for line in compare.lines(old, new, found):
        print(line)
    return 1 if found.slower else 0


def _climb(names: Sequence[str]) -> int:
    try:
        ladder = load_ladder()
        for name in names:
            ladder.run(name, progress=lambda line: print(line, flush=True))
    except subprocess.CalledProcessError as error:  # the compiler has said why, above
        raise WrongArguments(
            f"--ladder: got exit code {error.returncode} from {error.cmd[0]}, wanted a C++ "
            "compiler that can build the rungs"
        ) from error
    except (FileNotFoundError, ValueError) as error:
        raise WrongArguments(str(error)) from error
    return 0


# The run.


class _Progress:
    """A bar where somebody watches and tqdm is installed; else a line now and then."""

    _LINES = 20  # over the whole run

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._bar: Any = None
        if sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self._bar = importlib.import_module("tqdm").tqdm(total=total, leave=False)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, title: str) -> None:
        before, self._done = self._done, self._done + 1
        if self._bar is not None:
            self._bar.set_description(title)
            self._bar.update()
        elif before * self._LINES // self._total < self._done * self._LINES // self._total:
            print(f"{self._done} of {self._total}: {title}", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)


def _measure(plan: Plan) -> tuple[Record, bool]:
    """(the record, whether Ctrl-C ended it)."""
    try:
        session = Session(plan)
    except ValueError as error:
        raise WrongArguments(str(error)) from error
    if not session.can_run():
        raise WrongArguments(
            f"--backend, --dtype: got {', '.join(plan.backends)} with {', '.join(plan.dtypes)}, "
            f"which can run none of the {len(plan.works)} selected calls; wanted a backend or a "
            "dtype that can (see `convsmith env`)"
        )
    libraries = [name_of(peer) for peer in plan.peers]
    shown = 0
    try:
        session.measure_limits()
        print("\n".join(table.limits_text({"limits": session.limits})))
        print(f"{len(session.steps())} rows, in {session.sweeps} sweeps over all of them")
        print(table.header(libraries), flush=True)
        with _Progress(session.sweeps * len(session.steps())) as progress:
            for row, last in session.run():
                progress.step(record.title(row))
                if last:
                    shown += 1
                    for line in table.lines_of(row):
                        progress.line(table.text(line, libraries))
    except KeyboardInterrupt:
        print()
    found = session.record()
    for row in found["rows"][shown:]:  # of an interrupted run, with fewer samples
        for line in table.lines_of(row):
            print(table.text(line, libraries))
    _end(found)
    return found, not found["complete"]


def _show(found: Record) -> None:
    libraries = found["settings"]["against"]
    print("\n".join(table.limits_text(found)))
    print(table.header(libraries))
    for row in found["rows"]:
        for line in table.lines_of(row):
            print(table.text(line, libraries))
    _end(found)


def _end(found: Record) -> None:
    print()
    for line in table.summary(found):
        print(line)


def _check_outputs(args: argparse.Namespace) -> None:
    """Before hours of measuring: can what is asked for be written?"""
    for path in (args.json, args.report):
        if path is not None and path.is_dir():
            raise WrongArguments(f"got the folder {path}, wanted a file to write")
    if args.plot is not None and args.plot.exists() and not args.plot.is_dir():
        raise WrongArguments(f"--plot: got the file {args.plot}, wanted a folder")
    if args.check and not (args.plot or args.report):
        raise WrongArguments("--check: got no --plot or --report to draw the errors into")
    if args.plot or args.report:
        try:
            importlib.import_module("matplotlib")
        except ImportError as error:
            raise WrongArguments(
                f"--plot, --report: matplotlib is missing ({error}); pip install 'convsmith[bench]'"
            ) from error
    if args.check:
        from convsmith.bench.check_picture import read_check

        try:
            read_check(args.check)
        except (OSError, ValueError) as error:
            raise WrongArguments(f"--check: {error}") from error


def _write(found: Record, args: argparse.Namespace) -> None:
    if args.json:
        record.write(found, args.json)
        print(f"written: {args.json}")
    if not (args.plot or args.report):
        return
    from convsmith.bench import pictures, report

    made = pictures.draw(found, args.check)
    if args.plot:
        for path in pictures.save(made, args.plot):
            print(f"written: {path}")
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(report.page(found, made))
        print(f"written: {args.report}")
