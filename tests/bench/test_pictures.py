"""Pictures of what there is; a page that needs nothing from outside."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from convsmith.bench import check_picture, pictures, report
from convsmith.bench.session import Plan, Session
from convsmith.bench.works import works
from convsmith.machine import usable_cpus


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    return {}


@pytest.fixture
def made(records: dict[str, Any]) -> dict[str, Any]:
    if not records:
        from convsmith.bench.peers import numpy_peer

        chosen = [w for w in works(["resnet18"], [1, 2]) if w.op in ("conv2d_forward", "add")]
        plan = Plan(chosen, ["native_cpu"], peers=[numpy_peer], repeats=1)
        plan.threads = [usable_cpus()]
        session = Session(plan)
        session.measure_limits()
        for _ in session.run():
            pass
        records.update(session.record())
    return records


def check_file(tmp_path: Path, wrapped: bool = True) -> Path:
    runs = [
        {"op": op, "backend": backend, "case": f"c{n}", "fill": "real", "share": s, "ok": True}
        for op in ("gemm", "add")
        for backend in ("native_cpu", "reference")
        for n, s in enumerate((0.0, 0.01, 0.5, None))
    ]
    path = tmp_path / "check.json"
    path.write_text(json.dumps({"runs": runs} if wrapped else runs))
    return path


def test_what_the_record_has_is_drawn(made: dict[str, Any], tmp_path: Path) -> None:
    figures = pictures.draw(made, check_file(tmp_path))
    assert set(figures) == {"roofline", "against_numpy", "share_of_limit", "scaling", "errors"}
    for path in pictures.save(figures, tmp_path / "a" / "folder"):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 10_000


def test_labels_and_units(made: dict[str, Any], tmp_path: Path) -> None:
    figures = pictures.draw(made, check_file(tmp_path, wrapped=False))
    for name, figure in figures.items():
        assert figure.get_suptitle(), name
        for axes in figure.axes:
            assert axes.get_xlabel(), name
    assert figures["roofline"].axes[0].get_ylabel() == "GFLOP/s"
    assert "FLOP/byte" in figures["roofline"].axes[0].get_xlabel()


def test_an_empty_record_draws_nothing(made: dict[str, Any]) -> None:
    empty = {**made, "rows": []}
    assert pictures.draw(empty) == {}
    assert "Every row" in report.page(empty, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [("x", "got no JSON"), ("{}", "wanted runs with"), ('[{"op": 1}]', "wanted runs with")],
)
def test_a_file_that_is_no_check(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        check_picture.read_check(path)


class Page(HTMLParser):
    """Collects addresses, and that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_self_contained(made: dict[str, Any], tmp_path: Path) -> None:
    figures = pictures.draw(made, check_file(tmp_path))
    text = report.page(made, figures)
    page = Page()
    page.feed(text)
    assert not page.open and len(page.addresses) == len(figures)
    for address in page.addresses:
        assert address.startswith("data:image/png;base64,")
        assert base64.b64decode(address.partition(",")[2]).startswith(b"\x89PNG")
    outside = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link", outside)
    assert made["machine"]["cpu"].split()[0] in text and "conv2d_forward" in text


def test_the_page_escapes_and_says_errors_and_interruptions(made: dict[str, Any]) -> None:
    spoiled = json.loads(json.dumps(made))
    spoiled["complete"] = False
    entry = spoiled["rows"][0]["contenders"]["native_cpu"]
    entry |= {"error": "<b>wrong</b>", "samples": None}
    text = report.page(spoiled, {})
    assert "&lt;b&gt;wrong&lt;/b&gt;" in text and "Stopped before the end" in text
