"""What `convsmith bench` is asked for, as a plan to run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from convsmith import machine
from convsmith.arrays import float_dtype
from convsmith.backends.table import OPS, backend_named, why_not
from convsmith.bench.peers import load as load_peer
from convsmith.bench.session import Plan, array_type
from convsmith.bench.work import Work
from convsmith.bench.works import CONVOLUTIONS, DEMO, MATRICES, SOURCES, works

KNOWN_OPS = (*OPS, "training_step")
EVERY = "all"


class WrongArguments(ValueError):
    """Arguments that make no sense together or on this machine."""


def _register(args: argparse.Namespace) -> str:
    """The name of the user's kernel, whose op is then what is timed."""
    from convsmith.workbench import KernelError, register_kernel

    try:
        name = register_kernel(args.kernel)
    except (KernelError, OSError, ValueError) as error:
        raise WrongArguments(f"--kernel: {error}") from error
    kernel = backend_named(name).kernel
    if kernel.language == "cuda" and not array_type(name).startswith("cupy"):
        raise WrongArguments(
            f"--kernel: got {name}, a CUDA kernel, and no GPU to time it on; without one "
            "`convsmith check --kernel` still tells whether it is right"
        )
    if args.op is None:
        args.op = [kernel.op]
    if args.backend is None:
        args.backend = ["native_cuda" if kernel.language == "cuda" else _default_backend()]
    return name


def _positive(option: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        if number < 1:
            raise WrongArguments(f"{option}: got {number}, wanted at least 1")


def _selected(args: argparse.Namespace) -> list[Work]:
    sources = SOURCES if EVERY in args.network else tuple(dict.fromkeys(args.network))
    chosen = works(sources, args.batch)
    if args.op is None:
        chosen = [
            work
            for work in chosen
            if work.op in CONVOLUTIONS or {MATRICES, DEMO} & {use.network for use in work.uses}
        ]
    elif EVERY not in args.op:
        for name in args.op:
            if not any(op.startswith(name) for op in KNOWN_OPS):
                raise WrongArguments(f"--op: got {name!r}, wanted one of {', '.join(KNOWN_OPS)}")
        chosen = [work for work in chosen if work.op.startswith(tuple(args.op))]
    if args.direction:
        ends = tuple(f"_{name}" for name in args.direction)
        chosen = [work for work in chosen if work.op.endswith(ends)]
    if args.layer:
        names = sorted({use.layer for work in chosen for use in work.uses})
        for beginning in args.layer:
            if not any(name.startswith(beginning) for name in names):
                few = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
                raise WrongArguments(f"--layer: got {beginning!r}, wanted one of {few}")
        begins = tuple(args.layer)
        chosen = [w for w in chosen if any(use.layer.startswith(begins) for use in w.uses)]
    if not chosen:
        raise WrongArguments(
            f"--op, --direction: got a selection that {', '.join(args.network)} has nothing of; "
            "leave out one of them"
        )
    return chosen


def plan_of(args: argparse.Namespace) -> Plan:
    cores = machine.usable_cpus()
    cpu, _ = machine.native_module("_cpu")
    threads = args.threads or [cpu.num_threads() if cpu else cores]
    for option, numbers in (("--batch", args.batch), ("--threads", threads)):
        _positive(option, numbers)
    _positive("--repeats", [args.repeats])
    if args.threads and max(threads) > cores:
        raise WrongArguments(
            f"--threads: got {max(threads)}, wanted at most {cores}, what may be used"
        )
    try:
        peers = [load_peer(name) for name in dict.fromkeys(args.against)]
    except ImportError as error:
        raise WrongArguments(str(error)) from error
    own = [_register(args)] if args.kernel is not None else []
    backends = list(dict.fromkeys([*(args.backend or [_default_backend()]), *own]))
    for name in backends:
        if why_not(name):
            raise WrongArguments(f"--backend: got {name}, which cannot run here: {why_not(name)}")
    if "cupy" in args.against and not array_type(backends[0]).startswith("cupy"):
        raise WrongArguments(
            "--against cupy: got NumPy arrays, wanted a backend for CuPy's: native_cuda"
        )
    chosen = _selected(args)
    algorithms: tuple[str, ...] | None = None
    if args.algorithm:
        algorithms = () if EVERY in args.algorithm else tuple(args.algorithm)
        _check_algorithms(algorithms, backends, chosen, args.dtype)
    return Plan(
        chosen,
        backends,
        tuple(dict.fromkeys(args.dtype)),
        tuple(dict.fromkeys(threads)),
        algorithms,
        peers,
        args.repeats,
        args.order == "peer-first",
    )


def _default_backend() -> str:
    return "native_cpu" if not why_not("native_cpu") else "reference"


def _check_algorithms(
    names: Sequence[str], backends: Sequence[str], chosen: Sequence[Work], dtypes: Sequence[str]
) -> None:
    listed: dict[str, None] = {}
    for backend in backends:
        module = backend_named(backend)
        for work in chosen:
            if work.op in CONVOLUTIONS:
                for dtype in dtypes:
                    found = module.algorithms(work.op, float_dtype(dtype), work.shape)
                    listed |= dict.fromkeys(found)
    for name in names:
        if name not in listed:
            known = ", ".join(listed) or "none"
            raise WrongArguments(
                f"--algorithm: got {name!r}, wanted one of {known}, or {EVERY!r}: what "
                f"{', '.join(backends)} lists for these layers"
            )
