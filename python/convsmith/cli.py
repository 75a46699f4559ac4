"""The command `convsmith`: finds the subcommand, turns its errors into a line and an exit code.

Exit codes: 0 good; 1 failed; 2 wrong arguments; 130 stopped by Ctrl-C. An exception that means a
fault of our own keeps its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

# Each is a module of convsmith.commands with DESCRIPTION, add_arguments(parser) and run(args),
# imported only when it is used.
COMMANDS = {
    "demo": "train a small network on real digits and draw how it went",
    "env": "versions, processor, GPUs, what is built, which backend is active and why",
    "check": "hold every kernel of every backend against the float64 reference",
    "bench": "time kernels against other libraries, the machine's limits and earlier records",
    "new-kernel": "write a small kernel of your own that works, to start from",
    "summary": "layers, shapes, parameters and work of a model",
}

# What a wrong argument, file or machine can raise. Anything else is a bug: let it show.
_EXPECTED = (ImportError, MemoryError, OSError, RuntimeError, ValueError)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> Parser:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="convsmith",
        usage="convsmith [-h] [--version] COMMAND ...",
        description="Convolution kernels in C++ and CUDA under a thin layer API.",
        epilog=f"commands:\n{commands}\n\nconvsmith COMMAND --help tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (sys.argv by default) and returns the exit code."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as error:  # how argparse ends, after --help as well
        return error.code if isinstance(error.code, int) else 2
    except BrokenPipeError:  # whoever read our output has gone, as in `convsmith env | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.version:
        from convsmith import __version__

        print(f"convsmith {__version__}")
        return 0
    if given.command is None:
        parser.print_help()
        return 2
    if given.command not in COMMANDS:
        parser.error(f"unknown command {given.command!r}, wanted one of {', '.join(COMMANDS)}")
    program = f"convsmith {given.command}"
    try:
        module = importlib.import_module(f"convsmith.commands.{given.command.replace('-', '_')}")
        own = Parser(prog=program, description=module.DESCRIPTION)
        module.add_arguments(own)
        code: int = module.run(own.parse_args(given.arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"\n{program}: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except _EXPECTED as error:
        message = str(error) or type(error).__name__
        prefix = f"{given.command}: "
        print(f"{program}: {message.removeprefix(prefix)}", file=sys.stderr)
        return 1
