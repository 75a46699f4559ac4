"""Pictures of a record: the roofline, bars a layer, scaling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.bench import table
from convsmith.bench.canvas import BLUE, GREY, YELLOW, new_figure, plain_ticks, style, tidy
from convsmith.bench.check_picture import errors, read_check
from convsmith.bench.limits import limit_of
from convsmith.bench.record import Record, Row, peers, title
from convsmith.bench.statistics import geometric_mean

_MOST_BARS = 48  # rows of a chart; of more only the ends are shown
_MOST_PANELS = 4
_NARROW = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def draw(record: Record, check: Path | None = None) -> dict[str, Any]:
    """{name: figure} of what the record has enough for."""
    rows = record["rows"]
    made = {"roofline": roofline(record)}
    for library in peers(rows):
        made[f"against_{library}"] = ratios(record, library)
    made["share_of_limit"] = shares(record)
    made["scaling"] = scaling(record)
    if check is not None:
        made["errors"] = errors(read_check(check))
    return {name: figure for name, figure in made.items() if figure is not None}


def save(figures: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _caption(figure: Any, text: str, record: Record) -> None:
    machine = record["machine"]
    what = machine["gpus"][0] if record["settings"]["threads"] is None else machine["cpu"]
    figure.suptitle(text, fontsize=14, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(
        f"{what}, {machine['isa']}; commit {machine['commit']}; {machine['date'][:10]}",
        fontsize=9,
        color=GREY,
        x=0.99,
        ha="right",
    )


def _same_setting(rows: Sequence[Row]) -> list[Row]:
    """Those of the most threads and the last batch and first dtype: one roof, one bar a layer."""
    if not rows:
        return []
    threads = max((row["threads"] or 0) for row in rows)
    chosen = [row for row in rows if (row["threads"] or 0) == threads]
    dtype = chosen[0]["dtype"]
    batches = [row["batch"] for row in chosen if row["uses"][0]["network"] != "matrices"]
    batch = max(batches, key=batches.count, default=1)
    return [
        row
        for row in chosen
        if row["dtype"] == dtype
        and (row["batch"] == batch or row["uses"][0]["network"] in ("matrices", "demo"))
    ]


def _setting(rows: Sequence[Row]) -> str:
    row = rows[0]
    threads = "" if row["threads"] is None else f", {_count(row['threads'], 'thread')}"
    return f"{row['dtype']}, batch {row['batch']}{threads}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def roofline(record: Record) -> Any:
    """Every row with operations under the measured roof; None without one."""
    rows = [row for row in _same_setting(record["rows"]) if row["flop"] and row["limit_ms"]]
    if not rows:
        return None
    limit = limit_of(record["limits"], rows[0]["dtype"], rows[0]["threads"])
    figure = new_figure(10, 6.5)
    axes = figure.subplots()
    _caption(figure, f"Roofline: {_setting(rows)}", record)
    intensity = [row["flop"] / row["bytes"] for row in rows]
    knee = limit.gflops / limit.gb_per_s
    ends = np.geomspace(min(*intensity, knee) / 4, max(*intensity, knee) * 2, 200)
    roof = np.minimum(limit.gflops, ends * limit.gb_per_s)
    axes.fill_between(ends, roof, roof.max() * 4, color="#f0f0f0", lw=0)
    axes.plot(ends, roof, color="black", lw=2)
    axes.text(
        ends[-1],
        limit.gflops * 1.06,
        f"multiply-add peak, measured: {limit.gflops:.0f} GFLOP/s",
        ha="right",
        fontsize=11,
    )
    axes.annotate(
        f"copy, measured:\n{limit.gb_per_s:.1f} GB/s",
        (knee / 1.4, limit.gflops / 1.4),
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        fontsize=11,
    )
    ops = list(dict.fromkeys(row["op"] for row in rows))
    library = next(iter(peers(rows)), None)
    lowest = limit.gflops
    for number, op in enumerate(ops):
        colour, marker = style(number)
        points, theirs = [], []
        for row in (row for row in rows if row["op"] == op):
            for line in table.lines_of(row):
                if line.error:
                    continue
                points.append((row["flop"] / row["bytes"], line.gflops))
                ratio = dict(line.ratios).get(library or "")
                if ratio:
                    theirs.append((points[-1][0], line.gflops / ratio))
        if not points:
            continue
        lowest = min(lowest, *(y for _, y in (*points, *theirs)))
        if theirs:
            axes.plot(*zip(*theirs, strict=True), marker, mfc="none", mec=colour, ms=7, alpha=0.55)
        axes.plot(*zip(*points, strict=True), marker, color=colour, ms=7, label=op, mec="white")
    if library:
        axes.plot([], [], "o", mfc="none", mec=GREY, ms=7, label=f"hollow: {library}")
    axes.set(xscale="log", yscale="log", xlim=(ends[0], ends[-1]))
    axes.set_ylim(max(lowest / 1.6, limit.gflops / 1e4), limit.gflops * 3)
    axes.set_xlabel("operations per byte that must be moved (FLOP/byte)", fontsize=12)
    axes.set_ylabel("GFLOP/s", fontsize=12)
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.legend(frameon=False, fontsize=11, loc="upper left")
    tidy(axes)
    return figure


def ratios(record: Record, library: str) -> Any:
    def ratio(line: table.Line) -> float | None:
        return dict(line.ratios).get(library)

    heading = f"{library}'s time over ours, per layer (above 1: convsmith is faster)"
    return _per_layer(record, ratio, _ratio_bars, heading, f"time of {library} / time of convsmith")


def shares(record: Record) -> Any:
    heading = "Share of the machine's limit, per layer"
    label = "time the roofline allows / time taken"
    return _per_layer(record, lambda line: line.share, _share_bars, heading, label)


def _per_layer(
    record: Record,
    value: Callable[[table.Line], float | None],
    bars: Callable[[Any, Sequence[float], Sequence[float]], None],
    heading: str,
    label: str,
) -> Any:
    """A bar a layer, a panel an op; None where nothing has the value."""
    rows = _same_setting(record["rows"])
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        for line in table.lines_of(row):
            number = None if line.error else value(line)
            if number:
                name = title(row).removeprefix(f"{_only_network(rows)} ")
                found.setdefault(row["op"], {}).setdefault(name, number)
    if not found:
        return None
    ops = sorted(found, key=lambda op: -len(found[op]))[:_MOST_PANELS]
    names = list(dict.fromkeys(name for op in ops for name in found[op]))
    left_out = max(0, len(names) - _MOST_BARS)
    if left_out:
        names = _ends(names, [found[op] for op in ops])
    figure = new_figure(4.2 + 2.9 * len(ops), 1.9 + 0.27 * len(names))
    _caption(figure, f"{heading}\n{_only_network(rows)} {_setting(rows)}".strip(), record)
    panels = figure.subplots(1, len(ops), sharey=True, squeeze=False)[0]
    everything = [found[op][name] for op in ops for name in names if name in found[op]]
    for axes, op in zip(panels, ops, strict=True):
        numbers = [found[op].get(name, math.nan) for name in names]
        bars(axes, numbers, everything)
        mean = geometric_mean(found[op].values())
        short = op.removeprefix("conv2d_")
        axes.set_title(f"{short}\ngeometric mean {mean:.2f}", fontsize=11.5)
        axes.set_xlabel(label, fontsize=10.5)
    panels[0].set_yticks(range(len(names)), names, fontsize=10)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    if left_out:
        panels[0].set_ylabel(f"{left_out} layers in the middle are left out", fontsize=10)
    return figure


def _share_bars(axes: Any, numbers: Sequence[float], everything: Sequence[float]) -> None:
    axes.barh(range(len(numbers)), numbers, color=BLUE, height=0.72)
    axes.set_xlim(0, max(1.0, *everything) * 1.18)
    axes.axvline(1, color="black", lw=1.2)
    for place, number in enumerate(numbers):
        if not math.isnan(number):
            axes.text(number, place, f" {number:.0%}", va="center", fontsize=9)
    tidy(axes)
    axes.grid(visible=False, axis="y")


def _ratio_bars(axes: Any, numbers: Sequence[float], everything: Sequence[float]) -> None:
    colours = [BLUE if number >= 1 else YELLOW for number in numbers]
    axes.barh(range(len(numbers)), [n - 1 for n in numbers], left=1, color=colours, height=0.72)
    low, high = min(*everything, 0.9), max(*everything, 1.1)
    room = (high / low) ** 0.22
    axes.set(xscale="log", xlim=(low / room, high * room))
    axes.axvline(1, color="black", lw=1.2)
    for place, number in enumerate(numbers):
        if not math.isnan(number):
            inward = number >= 1
            axes.annotate(
                f"{number:.2f}",
                (number, place),
                xytext=(3 if inward else -3, 0),
                textcoords="offset points",
                ha="left" if inward else "right",
                va="center",
                fontsize=9,
            )
    plain_ticks(axes.xaxis)
    if high / low < 8:  # too narrow for 1, 2, 5
        shown = [tick for tick in _NARROW if low / 1.05 <= tick <= high * 1.05]
        axes.set_xticks(shown)
    tidy(axes)
    axes.grid(visible=False, axis="y")


def _only_network(rows: Sequence[Row]) -> str:
    names = {use["network"] for row in rows for use in row["uses"]}
    return names.pop() if len(names) == 1 else ""


def _ends(names: Sequence[str], panels: Sequence[dict[str, float]]) -> list[str]:
    """The layers with the lowest and the highest values, in order."""

    def mean(name: str) -> float:
        return geometric_mean(panel[name] for panel in panels if name in panel)

    ranked = sorted(names, key=mean)
    half = _MOST_BARS // 2
    kept = {*ranked[:half], *ranked[-half:]}
    return [name for name in names if name in kept]


def scaling(record: Record) -> Any:
    """Speed over batch and over threads, as far as the record has several of either."""
    rows = [row for row in record["rows"] if row["threads"] is not None and row["flop"]]
    panels = []
    for key, label in (("batch", "batch (images)"), ("threads", "threads")):
        if len({row[key] for row in rows if row["uses"][0]["network"] != "matrices"}) > 1:
            panels.append((key, label))
    if not panels:
        return None
    figure = new_figure(6.5 * len(panels), 5.2)
    _caption(figure, "Scaling: geometric means over the layers", record)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (key, label) in zip(grid[0], panels, strict=True):
        _scaling(axes, rows, key)
        axes.set_xlabel(label, fontsize=12)
        axes.set_ylabel("GFLOP/s", fontsize=12)
        axes.legend(frameon=False, fontsize=10)
        tidy(axes)
    return figure


def _scaling(axes: Any, rows: Sequence[Row], key: str) -> None:
    other = "threads" if key == "batch" else "batch"
    fixed = max(row[other] for row in rows)
    rows = [row for row in rows if row[other] == fixed]
    library = next(iter(peers(rows)), None)
    places = sorted({row[key] for row in rows})
    for number, op in enumerate(dict.fromkeys(row["op"] for row in rows)):
        colour, marker = style(number)
        ours, theirs = [], []
        for place in places:
            lines = [
                line
                for row in rows
                if row["op"] == op and row[key] == place
                for line in table.lines_of(row)
                if not line.error
            ]
            ours.append(geometric_mean(line.gflops for line in lines))
            theirs.append(
                geometric_mean(
                    line.gflops / dict(line.ratios)[library]
                    for line in lines
                    if library in dict(line.ratios)
                )
            )
        axes.plot(places, ours, f"{marker}-", color=colour, label=op, ms=7, lw=2)
        if library:
            label = f"{op}, {library}"
            axes.plot(places, theirs, f"{marker}--", color=colour, mfc="white", label=label, ms=6)
    at = _count(fixed, "thread") if other == "threads" else f"batch {fixed}"
    axes.set_title(f"at {at}", fontsize=11.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [str(place) for place in places])
    axes.set_ylim(bottom=0)
