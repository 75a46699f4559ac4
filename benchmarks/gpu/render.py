"""The record of a run as Markdown: first what failed, then the tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Items = Mapping[str, Mapping[str, Any]]


def markdown(record: Mapping[str, Any]) -> str:
    """The whole report; record as gpu_report.py writes it, whatever is missing from it."""
    lines = ["# convsmith on a GPU", ""]
    for name, value in record.get("machine", {}).items():
        lines.append(f"- {name}: {value}")
    lines += ["", *_verdicts(record), ""]
    bandwidth = copy_bandwidth(record)
    for name, piece in record.get("pieces", {}).items():
        lines += [f"## {piece['title']}", ""]
        lines += [f"{_count(piece['items'])}, {piece['seconds']:.0f} s", ""]
        good = {item: found for item, found in piece["items"].items() if "ms" in found}
        lines += _TABLES.get(name, _plain)(piece["items"], good, bandwidth)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def copy_bandwidth(record: Mapping[str, Any]) -> float | None:
    """Of the largest copy that ran, in GB/s."""
    items = record.get("pieces", {}).get("copy", {}).get("items", {})
    return max((found["gb_per_s"] for found in items.values() if "gb_per_s" in found), default=None)


def failures(record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(piece, item, why) of everything that is not ok."""
    return [
        (name, item, f"{found['state']}: {found.get('error') or 'no reason given'}")
        for name, piece in record.get("pieces", {}).items()
        for item, found in piece["items"].items()
        if found["state"] != "ok"
    ]


def geometric_mean(values: Iterable[float]) -> float:
    logarithms = [math.log(value) for value in values]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else math.nan


def _verdicts(record: Mapping[str, Any]) -> list[str]:
    found = failures(record)
    lines = ["## Verdict", ""]
    if record.get("build", {}).get("state") == "failed":
        lines += [f"The build failed: {record['build']['error']}", ""]
    if not record.get("pieces"):
        return [*lines, "Nothing ran."]
    if not found:
        return [*lines, "Everything ran, and everything was right."]
    lines += [f"{len(found)} items failed or did not run:", ""]
    return lines + [f"- {piece}: {item}: {_one_line(why)}" for piece, item, why in found]


def _count(items: Items) -> str:
    states: dict[str, int] = {}
    for found in items.values():
        states[found["state"]] = states.get(found["state"], 0) + 1
    return ", ".join(f"{count} {state}" for state, count in states.items()) or "nothing to run"


def _one_line(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= 300 else flat[:297] + "..."


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _number(value: Any, digits: int = 3) -> str:
    return f"{value:.{digits}g}" if isinstance(value, (int, float)) else "-"


def _plain(items: Items, good: Items, bandwidth: float | None) -> list[str]:
    """Everything that the items say of themselves, a column per key."""
    keys = dict.fromkeys(
        key
        for found in items.values()
        for key, value in found.items()
        if key not in ("state", "error") and isinstance(value, (int, float, str))
    )
    return _rows(
        ["item", "state", *keys],
        (
            [item, str(found["state"]), *(_text(found.get(key)) for key in keys)]
            for item, found in items.items()
        ),
    )


def _text(value: Any) -> str:
    return _one_line(value) if isinstance(value, str) else _number(value)


def _ops(items: Items, good: Items, bandwidth: float | None) -> list[str]:
    def fraction(found: Mapping[str, Any]) -> str:
        return _number(found["gb_per_s"] / bandwidth, 2) if bandwidth else "-"

    return _rows(
        ["op", "ms", "GB/s", "of the copy bandwidth", "TFLOP/s"],
        (
            [
                item,
                _number(found["ms"]),
                _number(found["gb_per_s"], 4),
                fraction(found),
                _number(found.get("tflop_per_s")),
            ]
            for item, found in good.items()
        ),
    )


def _against(items: Items, good: Items, bandwidth: float | None) -> list[str]:
    contenders = dict.fromkeys(name for found in good.values() for name in found["ms"])
    lines = _rows(
        ["item", *(f"{name} ms" for name in contenders), "ratio", "TFLOP/s", "distance"],
        (
            [
                item,
                *(_number(found["ms"].get(name)) for name in contenders),
                _number(found["ratio"]),
                _number(found["tflop_per_s"]),
                _number(found["distance"], 2),
            ]
            for item, found in good.items()
        ),
    )
    groups: dict[str, list[float]] = {}
    for item, found in good.items():
        groups.setdefault(item.partition(" ")[2], []).append(found["ratio"])
    lines += ["", "The peer's time over ours, geometric mean (above 1: convsmith is faster):", ""]
    return lines + [
        f"- {name}: {geometric_mean(ratios):.2f} over {len(ratios)}"
        for name, ratios in groups.items()
    ]


def _sweep(items: Items, good: Items, bandwidth: float | None) -> list[str]:
    return _rows(
        ["item", "auto ms", "best", "best ms", "auto over best"],
        (
            [
                item,
                _number(found["ms"]["auto"]),
                found["best"],
                _number(found["ms"][found["best"]]),
                _number(found["auto_over_best"]),
            ]
            for item, found in good.items()
        ),
    )


_TABLES: dict[str, Callable[[Items, Items, float | None], list[str]]] = {
    "ops": _ops,
    "layers": _against,
    "gemm": _against,
    "sweep": _sweep,
}
