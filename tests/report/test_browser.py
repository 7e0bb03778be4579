"""The page in a real browser: Debian's Chromium, driven by Selenium, at the width of a phone and of a desktop."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import IS_INSTALLED, browser

WIDTHS = {"phone": 390, "desktop": 1280}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_INSTALLED, reason="needs the packages chromium and chromium-driver"),
]

# The contrast of WCAG 2: every element with text of its own, against the nearest ground that is not transparent.
CONTRASTS = """
const parse = text => text.match(/[\\d.]+/g).map(Number);
const luminance = rgb => rgb.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const rgba = parse(getComputedStyle(at).backgroundColor);
    if (rgba.length < 4 || rgba[3] > 0) return rgba;
  }
  return [255, 255, 255];
};
return [...document.body.querySelectorAll("*")]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .map(e => {
    const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.textContent.slice(0, 40)];
  });
"""
FIGURES = """
return [...document.images].map(image => {
  const box = image.getBoundingClientRect();
  return {whole: image.complete && image.naturalWidth > 0, alt: image.alt, left: box.left, right: box.right,
          width: box.width, height: box.height, shape: image.naturalWidth / image.naturalHeight};
});
"""


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    return WIDTHS[request.param]


@pytest.fixture
def opened(full_page: Path, width: int) -> Iterator[Any]:
    """The browser on the page, with its log of messages and requests."""
    with browser(width, 900) as driver:
        driver.get(full_page.as_uri())
        yield driver


def test_the_page_opens_without_a_complaint_and_asks_for_nothing_but_itself(opened: Any, full_page: Path) -> None:
    assert [entry for entry in opened.get_log("browser") if entry["level"] != "INFO"] == []
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    sent = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in sent if not url.startswith("data:")] == [full_page.as_uri()]


def test_every_figure_is_seen_whole_and_in_its_shape(opened: Any, width: int, full_page: Path) -> None:
    figures = opened.execute_script(FIGURES)
    assert len(figures) == len(list(full_page.parent.glob("*.png")))
    for figure in figures:
        assert figure["whole"], figure
        assert figure["alt"], figure
        assert (figure["left"] >= 0, figure["right"] <= width) == (True, True), figure
        assert figure["width"] > 300, figure
        assert figure["width"] / figure["height"] == pytest.approx(figure["shape"], rel=0.02)


def test_nothing_makes_the_page_scroll_sideways(opened: Any, width: int) -> None:
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    wide = opened.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => t.offsetWidth > innerWidth)"
        ".map(t => getComputedStyle(t.parentElement).overflowX)"
    )
    assert set(wide) <= {"auto"}


def test_all_text_has_enough_contrast_to_be_read(opened: Any) -> None:
    contrasts = opened.execute_script(CONTRASTS)
    assert len(contrasts) > 100
    assert [one for one in contrasts if one[0] < 4.5] == []


def test_the_links_lead_to_their_sections(opened: Any) -> None:
    for link in opened.find_elements("css selector", "nav a"):
        link.click()
        top = opened.execute_script("return document.querySelector(location.hash).getBoundingClientRect().top")
        assert -1 <= top < 900
