"""What all pictures share, by matplotlib without pyplot: no display is ever looked for.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; where
two things must be told apart, a shape or a line style differs as well.
"""

from __future__ import annotations

import importlib
from typing import Any

BLUE, ORANGE, GREEN, YELLOW = "#0072B2", "#D55E00", "#009E73", "#E69F00"
GREY = "#8a8a8a"
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", YELLOW, "#56B4E9", "#000000")
_MARKERS = "osD^vPX"


def new_figure(width: float, height: float) -> Any:
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(width, height), layout="constrained", facecolor="white"
    )
    importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    return figure


def tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, which="major")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=11)


def style(number: int) -> tuple[str, str]:
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]


def plain_ticks(axis: Any) -> None:
    """Numbers as 200 instead of 2x10^2."""
    ticker = importlib.import_module("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())
