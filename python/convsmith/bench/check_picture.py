"""The errors that `convsmith check --json` found, as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from convsmith.bench.canvas import new_figure, style, tidy


def read_check(path: Path) -> list[dict[str, Any]]:
    """The runs of `convsmith check --json`, or a list of such. Raises ValueError for anything
    else."""
    wanted = {"op", "backend", "case", "share", "ok"}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: got no JSON ({error})") from error
    found = found.get("runs") if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and wanted <= set(entry) for entry in found
    ):
        raise ValueError(f"{path}: wanted runs with {', '.join(sorted(wanted))}")
    return found


def errors(results: Iterable[dict[str, Any]]) -> Any:
    """The errors of `convsmith check` as shares of their tolerances, a line of dots an op."""
    found: dict[str, dict[str, list[float]]] = {}
    for entry in results:
        own = found.setdefault(entry["op"], {}).setdefault(entry["backend"], [])
        share = entry["share"]
        own.append(math.inf if share is None else float(share))
    if not found:
        return None
    backends = list(dict.fromkeys(name for of_op in found.values() for name in of_op))
    figure = new_figure(10, 1.8 + 0.33 * len(found))
    axes = figure.subplots()
    figure.suptitle(
        "Errors against their tolerances, every case of convsmith check",
        fontsize=14,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    exact, failed = 1e-5, 10.0
    for place, op in enumerate(found):
        for number, backend in enumerate(backends):
            errors = np.asarray(found[op].get(backend, []))
            colour, marker = style(number)
            shown = np.where(np.isfinite(errors), np.clip(errors, exact, failed), failed)
            heights = np.full(len(shown), place + 0.7 * ((number + 0.5) / len(backends) - 0.5))
            label = backend if place == 0 else None
            axes.plot(shown, heights, marker, color=colour, ms=4, alpha=0.5, mew=0, label=label)
    axes.axvline(1, color="black", lw=1.5)
    axes.text(0.93, -0.75, "tolerance", ha="right", va="bottom", fontsize=11)
    axes.set(xscale="log", xlim=(exact / 1.6, failed * 1.5), ylim=(len(found) - 0.4, -1.4))
    axes.set_xticks(
        [exact, 1e-4, 1e-3, 1e-2, 0.1, 1, failed],
        ["exact", "0.0001", "0.001", "0.01", "0.1", "1", "10 or\nworse"],
    )
    axes.set_yticks(range(len(found)), list(found), fontsize=10)
    axes.set_xlabel("worst error of a case / its tolerance", fontsize=12)
    tidy(axes)
    figure.legend(
        loc="outside lower center", ncols=min(4, len(backends)), frameon=False, markerscale=2
    )
    return figure
