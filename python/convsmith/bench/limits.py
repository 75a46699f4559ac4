"""What the machine allows, measured in the same run: multiply-adds, copies, and the roofline.

Time cannot be shorter than operations / peak, nor than bytes / bandwidth (Williams, Waterman and
Patterson, CACM 52(4), 2009). Both limits are measured with the simplest code that can reach them:
chains of multiply-adds in registers and a copy with streaming stores (csrc/cpu/kernels/
yardstick.cpp); on a GPU a large product by cuBLAS and a copy by CuPy.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from convsmith.bench.cold import last_level_bytes
from convsmith.bench.statistics import PROCESSOR, typical_ms
from convsmith.bench.timing import EventClock, HostClock, Samples
from convsmith.bench.work import NumpyArray

_ROUNDS = 1_000_000  # of the chains: about 2 ms
_TRIES = 25
_CHUNK = 16 << 20  # elements of a large copy that are timed at once
_SAMPLE = 4 << 20  # elements: the copy beside each row takes a few milliseconds
_CACHES = 4  # how often an array holds the last-level cache, as STREAM wants
_MOST_ELEMENTS = 1 << 28
_GEMM_SIZE = 8192
_GPU_COPY_BYTES = 1 << 30


@dataclass(frozen=True)
class Limit:
    """The roofline of one number of threads (None: a GPU) and one dtype."""

    gflops: float
    gb_per_s: float

    def ms(self, flop: float, moved_bytes: float) -> float:
        """The time that the roofline allows."""
        return max(flop / self.gflops, moved_bytes / self.gb_per_s) / 1e6

    def bound(self, flop: float, moved_bytes: float) -> str:
        return "compute" if flop / self.gflops > moved_bytes / self.gb_per_s else "memory"


def _cpu() -> Any:
    return importlib.import_module("convsmith._cpu")


def _peak(work: float, samples: Samples, threads: int | None) -> float:
    """The highest rate, in units of 1e9 a second: whatever disturbs makes it lower."""
    quiet = samples.undisturbed()
    return work / (min(quiet) if quiet else typical_ms(samples, PROCESSOR, threads)) / 1e6


def measure_cpu(threads: Iterable[int]) -> dict[str, Any]:
    """{"gflops": {isa: {threads: rate}}, "gb_per_s": {threads: rate}}; leaves settings as found."""
    cpu, clock = _cpu(), HostClock(settle_s=0.0)
    counts = sorted({1, *threads})
    isa, before = cpu.isa(), cpu.num_threads()
    size = min(_CACHES * last_level_bytes() // 4, _MOST_ELEMENTS)
    chunk = min(_CHUNK, size)
    gflops: dict[str, dict[str, float]] = {}
    bandwidth: dict[str, float] = {}
    try:
        for name in cpu.available_isas():
            cpu.set_isa(name)
            gflops[name] = {}
            for count in counts:
                cpu.set_num_threads(count)
                samples = Samples()
                for _ in range(_TRIES):
                    clock.time(lambda: cpu.yardstick_multiply_add(_ROUNDS), samples)
                flop = cpu.yardstick_multiply_add(1) * _ROUNDS
                gflops[name][str(count)] = _peak(flop, samples, count)
        cpu.set_isa(isa)
        x, y = np.ones(size, np.float32), np.ones(size, np.float32)
        for count in counts:
            cpu.set_num_threads(count)
            samples = Samples()
            # Chunk after chunk, each cold: the arrays together are far larger than the cache.
            for begin in range(0, size - chunk + 1, chunk):
                part = slice(begin, begin + chunk)
                clock.time(partial(cpu.yardstick_copy, x[part], y[part]), samples)
            bandwidth[str(count)] = _peak(8.0 * chunk, samples, count)
    finally:
        cpu.set_isa(isa)
        cpu.set_num_threads(before)
    return {"gflops": gflops, "gb_per_s": bandwidth, "isa": isa}


def measure_gpu(dtypes: Iterable[str]) -> dict[str, Any]:
    """{"gpu_gflops": {dtype: rate}, "gpu_gb_per_s": rate}."""
    cupy = importlib.import_module("cupy")
    clock, copies = EventClock(), Samples()
    source = cupy.ones(_GPU_COPY_BYTES, cupy.uint8)
    target = cupy.empty_like(source)
    for _ in range(8):
        clock.time(partial(cupy.copyto, target, source), copies)
    del source, target  # a large part of the GPU's memory
    rates = {}
    for dtype in dtypes:
        kind = dtype if dtype != "bfloat16" else importlib.import_module("ml_dtypes").bfloat16
        a = cupy.random.standard_normal((_GEMM_SIZE, _GEMM_SIZE), dtype=cupy.float32).astype(kind)
        out, products = cupy.empty_like(a), Samples()
        for _ in range(8):
            clock.time(partial(cupy.matmul, a, a, out=out), products)
        rates[dtype] = _peak(2.0 * _GEMM_SIZE**3, products, None)
    bandwidth = _peak(2.0 * _GPU_COPY_BYTES, copies, None)
    return {"gpu_gflops": rates, "gpu_gb_per_s": bandwidth}


def limit_of(limits: dict[str, Any], dtype: str, threads: int | None) -> Limit:
    """The roofline that a row belongs under. On the CPU every dtype computes as float32."""
    if threads is None:
        return Limit(limits["gpu_gflops"][dtype], limits["gpu_gb_per_s"])
    rates = limits["gflops"][limits["isa"]]
    return Limit(rates[str(threads)], limits["gb_per_s"][str(threads)])


@dataclass
class Yardstick:
    """A short fixed loop and a short copy, timed beside each row, so that a machine whose speed
    drifts can be divided out. flop and bytes are those of one sample."""

    flop: float
    bytes: float
    multiply_add: Samples = field(default_factory=Samples)
    copy: Samples = field(default_factory=Samples)


class Yardsticks:
    """Takes the samples."""

    def __init__(self, elements: int = _SAMPLE) -> None:
        self.elements = elements
        self._clock = HostClock(settle_s=0.0)
        self._target = np.ones(elements, np.float32)

    def begin(self) -> Yardstick:
        """An empty one, for the threads that are set now."""
        return Yardstick(float(_cpu().yardstick_multiply_add(1)) * _ROUNDS, 8.0 * self.elements)

    def sample(self, into: Yardstick, cold: NumpyArray) -> None:
        """One of each; cold: `elements` numbers that no cache holds."""
        cpu = _cpu()
        cpu.yardstick_multiply_add(1000)  # wakes the threads
        self._clock.time(lambda: cpu.yardstick_multiply_add(_ROUNDS), into.multiply_add)
        self._clock.time(lambda: cpu.yardstick_copy(cold, self._target), into.copy)
