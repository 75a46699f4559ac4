"""A run as text: a line a row and backend, and the means at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convsmith.bench.record import Record, Row, peers, samples_of, timed, title
from convsmith.bench.statistics import PROCESSOR, clock_for, geometric_mean, spread, typical_ms

_TITLE, _OP, _NAME = 34, 34, 11


@dataclass(frozen=True)
class Line:
    """One backend's result in a row. ratios: the best time of each library, over its ways to do
    the work, over this one's. busy: see statistics.clock_for."""

    row: Row
    name: str
    error: str
    ms: float = 0.0
    spread: float = 0.0
    busy: bool = False
    share: float | None = None
    ratios: tuple[tuple[str, float], ...] = ()

    @property
    def gflops(self) -> float:
        return float(self.row["flop"] / self.ms / 1e6)

    @property
    def gb_per_s(self) -> float:
        return float(self.row["bytes"] / self.ms / 1e6)


def times_ms(row: Row) -> tuple[dict[str, float], str]:
    """(the typical time of each contender, the clock on which all of them can be compared)."""
    found = dict(timed(row))
    clock = clock_for(*found.values()) if found else ""
    threads = row["threads"]
    return {name: typical_ms(samples, clock, threads) for name, samples in found.items()}, clock


def lines_of(row: Row) -> Iterator[Line]:
    """Of each backend of ours; errors of peers come as lines of their own."""
    times, clock = times_ms(row)
    best = {
        library: min(times[name] for name, _ in timed(row, library))
        for library in peers([row])
        if any(True for _ in timed(row, library))
    }
    for name, entry in row["contenders"].items():
        if entry["error"]:
            yield Line(row, name, entry["error"])
        elif entry["peer"] is None:
            ms, limit = times[name], row["limit_ms"]
            yield Line(
                row,
                name,
                "",
                ms,
                spread(samples_of(entry), clock, row["threads"]),
                clock == PROCESSOR,
                None if limit is None else limit / ms,
                tuple((library, theirs / ms) for library, theirs in best.items()),
            )


def header(libraries: Sequence[str]) -> str:
    return (
        f"{'layer':{_TITLE}} {'op':{_OP}} {'batch':>5} {'thr':>3} {'backend':{_NAME}} "
        f"{'ms':>9} {'+-':>4} {'GFLOP/s':>8} {'GB/s':>6} {'limit':>6}"
        + "".join(f" {'x ' + name:>13}" for name in libraries)
    )


def text(line: Line, libraries: Sequence[str]) -> str:
    row = line.row
    threads = "-" if row["threads"] is None else row["threads"]
    op = row["op"] if row["dtype"] == "float32" else f"{row['op']} {row['dtype']}"
    head = (
        f"{title(row):{_TITLE}.{_TITLE}} {op:{_OP}.{_OP}} {row['batch']:>5} {threads:>3} "
        f"{line.name:{_NAME}}"
    )
    if line.error:
        return f"{head} ERROR {line.error}"
    gflops = f"{line.gflops:8.1f}" if row["flop"] else f"{'-':>8}"
    share = "-" if line.share is None else f"{line.share:.0%}"
    ratios = dict(line.ratios)
    cells = "".join(
        f" {ratios[name]:12.2f}x" if name in ratios else f" {'-':>13}" for name in libraries
    )
    ms = f"{line.ms:9.3f}" if line.ms < 1e4 else f"{line.ms:9.0f}"
    busy = "  busy" if line.busy else ""
    return f"{head} {ms} {line.spread:4.0%} {gflops} {line.gb_per_s:6.1f} {share:>6}{cells}{busy}"


@dataclass(frozen=True)
class Mean:
    """A library's time over ours. plain: the geometric mean over distinct geometries; weighted:
    all of the library's time over all of ours, each layer as often as its network has it."""

    backend: str
    library: str
    op: str
    network: str
    layers: int
    plain: float
    weighted: float


def means(rows: Sequence[Row]) -> Iterator[Mean]:
    """Per backend and library: for each op over all rows, then per network; gaps left out."""
    found: dict[tuple[str, str, str, str], list[tuple[float, float, int]]] = {}
    for row in rows:
        for line in lines_of(row):
            for library, ratio in line.ratios:
                best = ratio * line.ms
                for use in row["uses"]:
                    key = (line.name, library, row["op"], use["network"])
                    found.setdefault(key, []).append((best, line.ms, use["count"]))
                key = (line.name, library, row["op"], "all")
                count = sum(use["count"] for use in row["uses"])
                found.setdefault(key, []).append((best, line.ms, count))
    for (backend, library, op, network), entries in found.items():
        theirs = sum(best * count for best, _, count in entries)
        ours = sum(ms * count for _, ms, count in entries)
        plain = geometric_mean(best / ms for best, ms, _ in entries)
        yield Mean(backend, library, op, network, len(entries), plain, theirs / ours)


def overall(rows: Sequence[Row]) -> dict[tuple[str, str], float]:
    """{(backend, library): geometric mean over all rows}."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for line in lines_of(row):
            for library, ratio in line.ratios:
                found.setdefault((line.name, library), []).append(ratio)
    return {key: geometric_mean(ratios) for key, ratios in found.items()}


def shares(rows: Sequence[Row]) -> dict[str, float]:
    """{backend: geometric mean of its shares of the limit}."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for line in lines_of(row):
            if line.share:
                found.setdefault(line.name, []).append(line.share)
    return {name: geometric_mean(values) for name, values in found.items()}


BUSY = (
    "busy: others had the processors, so the times of that row are what it took at least without "
    "them: processor time over threads, or the time on the wall less that spent waiting"
)


def summary(record: Record) -> Iterator[str]:
    """The means, and what share of the limit was reached."""
    rows = record["rows"]
    if any(line.busy for row in rows for line in lines_of(row)):
        yield BUSY
    made = list(means(rows))
    single = {use["network"] for row in rows for use in row["uses"]}
    if made:
        yield "their time over ours (above 1: convsmith is faster)"
        yield f"  {'op':{_OP}} {'of':12} {'rows':>6} {'geometric mean':>15} {'time-weighted':>14}"
        for mean in made:
            if mean.network == "all" and len(single) == 1:
                continue
            who = f"{mean.backend} against {mean.library}"
            yield (
                f"  {mean.op:{_OP}} {mean.network:12} {mean.layers:>6} {mean.plain:>14.2f}x "
                f"{mean.weighted:>13.2f}x  {who}"
            )
        for (backend, library), ratio in overall(rows).items():
            yield f"  geometric mean over all rows, {backend} against {library}: {ratio:.3f}x"
    for name, share in shares(rows).items():
        yield f"share of the limit, geometric mean, {name}: {share:.0%}"


def limits_text(record: Record) -> Iterator[str]:
    found = record["limits"]
    for isa, rates in found.get("gflops", {}).items():
        cells = ", ".join(f"{rate:.0f} with {n}" for n, rate in rates.items())
        yield f"multiply-add peak {isa}: {cells} thread(s), GFLOP/s"
    if "gb_per_s" in found:
        cells = ", ".join(f"{rate:.1f} with {n}" for n, rate in found["gb_per_s"].items())
        yield f"copy bandwidth: {cells} thread(s), GB/s read and written"
    for dtype, rate in found.get("gpu_gflops", {}).items():
        yield f"peak of a large product by cuBLAS, {dtype}: {rate / 1e3:.1f} TFLOP/s"
    if "gpu_gb_per_s" in found:
        yield f"copy bandwidth of the GPU: {found['gpu_gb_per_s']:.0f} GB/s read and written"
