"""One HTML page with the table, the pictures and the machine, and no address outside itself."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from typing import Any

from convsmith.bench import table
from convsmith.bench.record import Record, peers, title

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; max-width: 76rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .6rem; text-align: right; border-bottom: 1px solid #e2e2e2;
  white-space: nowrap; }
th { border-bottom: 2px solid #555; position: sticky; top: 0; background: white; }
.text { text-align: left; }
.better { color: #005a8d; } .worse { color: #a34700; } .error { color: #a00000; text-align: left; }
dl { display: grid; grid-template-columns: max-content auto; gap: .15rem 1.2rem; }
dt { color: #666; } dd { margin: 0; }
pre { background: #f5f5f5; padding: .8rem 1rem; overflow-x: auto; }
"""

_TEXTS = {
    "roofline": "Every layer under the measured roof: no kernel of the direct algorithm can lie "
    "above it (Winograd's does less work, and may).",
    "share_of_limit": "1 is the limit of the machine, as measured in the same run.",
    "scaling": "Solid: convsmith; dashed: the other library.",
    "errors": "Every case of the check: left of the line is right.",
}


_AGAINST = "Its best time, of its memory formats where it has two, over ours."


def page(record: Record, figures: dict[str, Any]) -> str:
    """The page's text."""
    return "\n".join(_parts(record, figures))


def _cell(text: object, kind: str = "") -> str:
    return f'<td class="{kind}">{html.escape(str(text))}</td>' if kind else f"<td>{text}</td>"


def _parts(record: Record, figures: dict[str, Any]) -> Iterator[str]:
    machine = record["machine"]
    heading = f"convsmith bench, {machine['date'][:10]}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{html.escape(heading)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{html.escape(heading)}</h1>"
    if not record["complete"]:
        yield "<p><strong>Stopped before the end: what was measured until then.</strong></p>"
    yield f"<h2>Summary</h2><pre>{html.escape(chr(10).join(table.summary(record)))}</pre>"
    for name, figure in figures.items():
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        encoded = base64.b64encode(data.getvalue()).decode()
        heading = name.replace("_", " ").capitalize()
        text = _TEXTS.get(name, _AGAINST)
        yield f"<h2>{html.escape(heading)}</h2><p>{html.escape(text)}</p>"
        alternative = html.escape(f"chart: {heading}")
        yield f'<img alt="{alternative}" src="data:image/png;base64,{encoded}">'
    yield "<h2>Every row</h2>"
    yield from _table(record)
    yield "<h2>Limits</h2>"
    yield f"<pre>{html.escape(chr(10).join(table.limits_text(record)))}</pre>"
    for heading, section in (("Machine", machine), ("Settings", record["settings"])):
        yield f"<h2>{heading}</h2><dl>"
        for key, value in section.items():
            yield f"<dt>{html.escape(key)}</dt><dd>{html.escape(_plain(value))}</dd>"
        yield "</dl>"
    yield "</body></html>\n"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) or "unknown"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def _table(record: Record) -> Iterator[str]:
    rows = record["rows"]
    libraries = peers(rows)
    names = ["layer", "op", "geometry", "batch", "dtype", "threads", "backend"]
    numbers = ["ms", "±", "GFLOP/s", "GB/s", "limit", *(f"x {name}" for name in libraries)]
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f'<th class="text">{name}</th>' for name in names)
    yield "".join(f"<th>{html.escape(name)}</th>" for name in numbers) + "</tr></thead><tbody>"
    for row in rows:
        for line in table.lines_of(row):
            threads = "-" if row["threads"] is None else row["threads"]
            head = (title(row), row["op"], row["geometry"], row["batch"], row["dtype"], threads)
            cells = "".join(_cell(text, "text") for text in (*head, line.name))
            if line.error:
                span = f'<td class="error" colspan="{len(numbers)}">{html.escape(line.error)}</td>'
                yield f"<tr>{cells}{span}</tr>"
                continue
            gflops = f"{line.gflops:.1f}" if row["flop"] else "-"
            share = "-" if line.share is None else f"{line.share:.0%}"
            busy = " (busy)" if line.busy else ""
            cells += _cell(f"{line.ms:.3f}{busy}") + _cell(f"{line.spread:.0%}")
            cells += _cell(gflops) + _cell(f"{line.gb_per_s:.1f}") + _cell(share)
            ratios = dict(line.ratios)
            for name in libraries:
                ratio = ratios.get(name)
                kind = "better" if ratio and ratio >= 1 else "worse"
                cells += _cell("-") if ratio is None else _cell(f"{ratio:.2f}", kind)
            yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
