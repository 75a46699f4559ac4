"""A run with a kernel of the user's own: in a process of its own, which it may crash or hang."""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]


def _child(run: Run, args: argparse.Namespace) -> None:
    sys.exit(run(args))


def run_apart(run: Run, args: argparse.Namespace, time_limit: float) -> int:
    """run(args) in a fresh process; its exit code, or 1, with a message, where it was lost.

    run is a function of a module; Ctrl-C reaches the process too, and its end is waited for.
    """
    process = multiprocessing.get_context("spawn").Process(target=_child, args=(run, args))
    process.start()
    try:
        process.join(time_limit)
    except KeyboardInterrupt:
        process.join(time_limit)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        why = f"did not end within {time_limit:g} s"
    elif code < 0:
        why = f"was ended by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    else:
        return code
    print(
        f"convsmith bench: the process that ran {args.kernel} {why}; "
        f"`convsmith check --kernel {args.kernel}` finds the case",
        file=sys.stderr,
    )
    return 1
