"""Climb a ladder of C++ kernels: build the rungs, check each, time each on one thread.

    python benchmarks/ladder/ladder.py gemm conv2d
    python benchmarks/ladder/ladder.py gemm conv2d --record benchmarks/results/ladder_cpu.json
    python benchmarks/ladder/tables.py            # the record into the README of each ladder

Times are thread CPU time, so that other programs count as little as they can; the FMA peak that
they are held against is measured in the same rounds. The last rung is the shipped kernel, called
through the library.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import convsmith
from convsmith import _cpu
from convsmith.bench.record import describe_machine
from convsmith.ops.shapes import Conv2dShape

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / "build" / "ladder"
LADDERS = ("gemm", "conv2d")
SHIPPED = "shipped"

# As CMakeLists.txt compiles the shipped kernels.
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra"]
FLAGS += ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-DCONVSMITH_ISA=ladder"]
ISA_FLAGS = {
    "generic": [],
    "avx2": ["-march=haswell", "-mtune=skylake"],
    "avx512": ["-march=skylake-avx512", "-mprefer-vector-width=512"],
}

# gemm: m, n, k. conv2d: batch, height = width, input and output channels, filter, stride, padding.
Size = tuple[int, ...]
SIZES: dict[str, list[Size]] = {
    "gemm": [(256, 256, 256), (1024, 1024, 1024), (1536, 1536, 1536)],
    "conv2d": [(2, 56, 64, 64, 3, 1, 1), (8, 14, 256, 256, 3, 1, 1), (2, 56, 256, 64, 1, 1, 0)],
}
ROUNDS = 7
SLOW_S = 0.5  # a rung slower than this is timed while it is checked, and not again


def rungs(ladder: str) -> list[str]:
    return sorted(path.stem for path in (HERE / ladder / "cpu").glob("*.cpp"))


def build(isa: str | None = None, cache: Path = CACHE) -> ctypes.CDLL:
    """All C++ rungs as one library, compiled unless the same sources and flags were before."""
    sources = sorted(HERE.glob("*/cpu/*.cpp"))
    headers = [HERE / "rung.h", *sorted((ROOT / "csrc" / "cpu").rglob("*.h"))]
    compiler = os.environ.get("CXX", "g++")
    flags = [*FLAGS, *ISA_FLAGS[isa or _cpu.isa()], f"-I{HERE}", f"-I{ROOT / 'csrc'}"]
    digest = hashlib.sha256(repr((compiler, flags)).encode())
    for path in [*sources, *headers, ROOT / "csrc" / "shapes.h"]:
        digest.update(path.read_bytes())
    library = cache / f"ladder-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = library.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *flags, "-o", str(made), *map(str, sources)], check=True)
        made.replace(library)
    return ctypes.CDLL(str(library))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def as_struct(shape: Conv2dShape) -> Any:
    """The Conv2dShape of csrc/shapes.h."""
    names = "batch in_h in_w in_c out_h out_w out_c kernel_h kernel_w stride_h stride_w dilation_h"
    names += " dilation_w pad_top pad_bottom pad_left pad_right groups"
    return (ctypes.c_int64 * 18)(*(getattr(shape, name) for name in names.split()))


class Problem:
    """One size of one ladder: arrays, the answer, and a way to call each rung on them."""

    def __init__(self, ladder: str, size: Size, library: ctypes.CDLL) -> None:
        self.ladder, self.size, self.library = ladder, size, library
        random = np.random.default_rng(0)
        if ladder == "gemm":
            m, n, k = size
            left, right = (m, k), (k, n)
            self.depth, self.out = k, np.empty((m, n), np.float32)
        else:
            batch, edge, in_c, out_c, kernel, stride, padding = size
            left, right = (batch, edge, edge, in_c), (out_c, kernel, kernel, in_c)
            self.shape = Conv2dShape.infer(left, right, stride=stride, padding=padding)
            self.depth = kernel * kernel * in_c
            self.out = np.empty((batch, self.shape.out_h, self.shape.out_w, out_c), np.float32)
        self.left = random.uniform(-1, 1, left).astype(np.float32)
        self.right = random.uniform(-1, 1, right).astype(np.float32)
        self.flop = 2.0 * self.out.size * self.depth

    def shipped(self) -> np.ndarray:
        if self.ladder == "gemm":
            return convsmith.matmul(self.left, self.right)
        _, _, _, _, _, stride, padding = self.size
        return convsmith.conv2d(
            self.left, self.right, stride=stride, padding=padding, algorithm="direct"
        )

    def runner(self, rung: str) -> Callable[[], np.ndarray]:
        """A function without arguments that runs the rung and returns the result."""
        if rung == SHIPPED:
            return self.shipped
        function = self.library[f"{self.ladder}_{rung}"]
        function.restype = None
        arrays = [pointer(array) for array in (self.left, self.right, self.out)]
        if self.ladder == "gemm":
            first: list[Any] = [ctypes.c_int64(number) for number in self.size]
        else:
            first = [ctypes.byref(as_struct(self.shape))]

        def run() -> np.ndarray:
            function(*first, *arrays)
            return self.out

        return run

    def reference(self) -> np.ndarray:
        with convsmith.use_backend("reference"):
            return self.shipped()

    def error(self, rung: str, expected: np.ndarray) -> float:
        """The largest error, of the largest value; the output starts as NaN."""
        self.out.fill(np.nan)
        return float(np.abs(self.runner(rung)() - expected).max() / np.abs(expected).max())


# Sums of up to some thousand terms in float32, in any order.
TOLERANCE = 2e-5


@contextmanager
def one_thread() -> Iterator[None]:
    before = _cpu.num_threads()
    _cpu.set_num_threads(1)
    try:
        yield
    finally:
        _cpu.set_num_threads(before)


def fma_peak_gflops(rounds: int = 1_000_000) -> float:
    start = time.thread_time()
    flop = _cpu.yardstick_multiply_add(rounds)
    return flop / (time.thread_time() - start) / 1e9


def seconds(run: Callable[[], Any]) -> float:
    """Thread CPU time of one call, after an untimed one that leaves the caches as its own."""
    run()
    start = time.thread_time()
    run()
    return time.thread_time() - start


def climb(problem: Problem) -> list[dict[str, Any]]:
    """Check and time every rung on one problem, in rounds, so that all meet the same machine."""
    names = [*rungs(problem.ladder), SHIPPED]
    expected = problem.reference()
    times: dict[str, list[float]] = {}
    for name in names:
        start = time.thread_time()
        error = problem.error(name, expected)
        spent = time.thread_time() - start
        if not error < TOLERANCE:
            raise ValueError(f"{problem.ladder} {name} {problem.size}: relative error {error:.1e}")
        times[name] = [spent] if spent > SLOW_S else []
    peaks = []
    for _ in range(ROUNDS):
        peaks.append(fma_peak_gflops())
        for name in names:
            if not times[name] or times[name][0] <= SLOW_S:
                times[name].append(seconds(problem.runner(name)))
    peak = statistics.median(peaks)
    records: list[dict[str, Any]] = []
    for name in names:
        spent = statistics.median(times[name])
        gflops = problem.flop / spent / 1e9
        records.append(
            {
                "ladder": problem.ladder,
                "rung": name,
                "size": list(problem.size),
                "ms": spent * 1e3,
                "gflops": gflops,
                "share_of_peak": gflops / peak,
                "gain": gflops / records[-1]["gflops"] if records else None,
            }
        )
    return records


def line(record: dict[str, Any]) -> str:
    gain = "" if record["gain"] is None else f"x {record['gain']:.2f}"
    size = "x".join(map(str, record["size"]))
    return (
        f"{record['ladder']:7} {size:24} {record['rung']:20} {record['ms']:9.2f} ms "
        f"{record['gflops']:8.1f} GFLOP/s {record['share_of_peak']:6.1%} of peak  {gain}"
    )


def run(
    name: str, sizes: Sequence[Size] | None = None, progress: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Climb the ladder `name` at each size; a line of text to `progress` for every rung.

    Raises ValueError for an unknown ladder and for a rung that computes something wrong.
    """
    if name not in LADDERS:
        raise ValueError(f"ladder: got {name!r}, wanted one of {', '.join(LADDERS)}")
    library = build()
    records = []
    with one_thread():
        for size in sizes if sizes is not None else SIZES[name]:
            for record in climb(Problem(name, tuple(size), library)):
                progress(line(record))
                records.append(record)
    return records


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ladders", nargs="+", choices=LADDERS)
    parser.add_argument("--record", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args(arguments)
    records = [record for name in options.ladders for record in run(name)]
    if options.record:
        result = {"machine": describe_machine(), "records": records}
        options.record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
