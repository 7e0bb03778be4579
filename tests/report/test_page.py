import base64
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.report import to_json, write_page
from w2s_ray.report.analyses import Analysis, analyse
from w2s_ray.report.drawing import NARROW, WIDE
from w2s_ray.report.gallery import pictures_of
from w2s_ray.report.page import page_of
from w2s_ray.report.wording import percent

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]
KEYS = ["accuracy", "pgr", "size", "agreement", "curves", "calibration", "choices", "search", "importance", "slices",
        "racing", "timeline"]  # fmt: skip


class Page(HTMLParser):
    """Collects tags and attributes, and refuses what is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_no_network_and_no_script(full_page: Path) -> None:
    page = Page(full_page.read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    urls = [value or "" for _, attributes in page.tags for name, value in attributes.items()
            if name in ("src", "srcset", "href")]  # fmt: skip
    assert all(url.startswith(("data:", "#")) for url in urls)
    svgs = [base64.b64decode(url.split(",", 1)[1]) for url in urls if url.startswith("data:image/svg+xml")]
    assert len(svgs) == 2 * len(KEYS)
    assert all(b"<svg" in svg and b"<script" not in svg for svg in svgs)


def test_every_figure_says_in_words_what_it_shows(full_page: Path, full_analysis: Analysis) -> None:
    page = Page(full_page.read_text(encoding="utf-8"))
    alts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    assert sorted(alts) == sorted(one.alt for one in pictures_of(full_analysis).values())
    assert min(map(len, alts)) > 20


def test_page_json_and_tables_tell_the_same_numbers(full_page: Path, full_analysis: Analysis) -> None:
    html = full_page.read_text(encoding="utf-8")
    stored = json.loads((full_page.parent / "report.json").read_text(encoding="utf-8"))
    table = (full_page.parent / "table-answer.csv").read_text(encoding="utf-8")
    assert stored == to_json(full_analysis.report)
    for pairing, in_json in zip(full_analysis.report.pairings, stored["pairings"], strict=True):
        for answer, method in zip(pairing.methods, in_json["methods"], strict=True):
            assert percent(answer.student) in html
            assert f"{method['student_accuracy']!r}" in table


def test_all_files_of_a_report_are_written(full_page: Path) -> None:
    names = {path.name for path in full_page.parent.iterdir()}
    assert {f"{key}.{kind}" for key in KEYS for kind in ("png", "svg")} < names
    assert {"table-answer.csv", "table-answer.tex", "report.html", "report.md", "report.json"} < names


def test_the_same_sweep_gives_the_same_page_and_two_have_anchors_of_their_own(
    full_page: Path, full_analysis: Analysis, world: World
) -> None:
    html = page_of([full_analysis, analyse(world.record())])
    first = full_page.read_text(encoding="utf-8")
    body = first[first.index('<article id="sweep-1">') + 30 : first.index("</article>")]
    assert body in html
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
    assert len(links) == 2 * 4 + 2
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_a_page_on_a_sweep_that_has_just_begun_says_so(world: World, tmp_path: Path) -> None:
    page = write_page([analyse(world.record())], tmp_path / "deep" / "page.html")
    html = page.read_text(encoding="utf-8")
    assert "No trial has finished yet." in html
    assert "<img" not in html
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_an_error_message_cannot_write_html(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7), state="failed")
    world.trials[0] = replace(world.trials[0], error="<b onload=x>&")
    html = page_of([analyse(world.record())])
    assert "<b onload" not in html
    assert "&lt;b onload=x&gt;&amp;" in html


@pytest.mark.parametrize("columns", [WIDE, NARROW])
def test_nothing_of_a_figure_is_cut_off_in_either_layout(full_analysis: Analysis, columns: int) -> None:
    for key, picture in pictures_of(full_analysis).items():
        figure = picture.draw(columns)
        figure.draw_without_rendering()  # type: ignore[no-untyped-call]
        room = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert (room.x0 > -0.02, room.x1 < width + 0.02) == (True, True), (key, room.extents, width)
        assert (room.y0 > -0.02, room.y1 < height + 0.02) == (True, True), (key, room.extents, height)


def test_both_layouts_have_the_same_panels_and_every_panel_a_labelled_axis(full_analysis: Analysis) -> None:
    for key, picture in pictures_of(full_analysis).items():
        wide, narrow = picture.draw(WIDE), picture.draw(NARROW)
        assert [axes.get_title() for axes in wide.axes] == [axes.get_title() for axes in narrow.axes]
        assert narrow.get_figwidth() < 4
        assert all(axes.get_ylabel() or axes.get_xlabel() for axes in narrow.axes), key
