"""The report as one HTML file that needs nothing else: no network, no script, no other file.

Figures are SVG inside the page, each in two layouts of which the browser shows the one that fits the width, with
letters of the same size. Everything comes from one `Analysis` for each sweep, so the page says what terminal, JSON and
tables say.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from w2s_ray.report.across import across, across_sheet
from w2s_ray.report.analyses import Analysis
from w2s_ray.report.contents import overview_sheet, sheets_of
from w2s_ray.report.drawing import NARROW, WIDE, svg_of
from w2s_ray.report.gallery import Picture, pictures_of
from w2s_ray.report.wording import answer_of, cost_sentence, headline_of, notes_of

_TEMPLATE = "page.html.jinja"


def page_of(analyses: Sequence[Analysis]) -> str:
    """Returns the HTML of one sweep's report, or of several sweeps side by side."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    over_tasks = across([analysis.report for analysis in analyses])
    return template.render(
        title=" and ".join(analysis.report.sweep for analysis in analyses),
        overview=overview_sheet(analyses) if len(analyses) > 1 else None,
        across=across_sheet(over_tasks) if over_tasks else None,
        sweeps=[_chapter(analysis, f"sweep-{place}") for place, analysis in enumerate(analyses, start=1)],
    )


def _chapter(analysis: Analysis, anchor: str) -> dict[str, object]:
    report = analysis.report
    return {
        "id": anchor,
        "report": report,
        "headline": headline_of(report),
        "cost": cost_sentence(analysis.cost),
        "answers": [(pairing.name, answer_of(pairing)) for pairing in report.pairings],
        "notes": notes_of(report),
        "num_compared": sum(answer.num_compared for pairing in report.pairings for answer in pairing.methods),
        "num_choices": sum(len(pairing.methods) for pairing in report.pairings),
        "pictures": {key: _embedded(picture) for key, picture in pictures_of(analysis).items()},
        "sheets": sheets_of(analysis),
    }


def _embedded(picture: Picture) -> dict[str, object]:
    wide, narrow = (picture.draw(columns) for columns in (WIDE, NARROW))
    return {
        "caption": picture.caption,
        "alt": picture.alt,
        "wide": _data_uri(svg_of(wide)),
        "narrow": _data_uri(svg_of(narrow)),
        "width": round(96 * wide.get_figwidth()),  # CSS pixels, so that letters have their size
        "height": round(96 * wide.get_figheight()),
    }


def _data_uri(svg: bytes) -> Markup:
    return Markup("data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii"))
