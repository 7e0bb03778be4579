"""What came out of a sweep, and how sure it is: statistics, answer, tables and figures, from study and store alone."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from w2s_ray.report.answers import Report, answers, to_json
from w2s_ray.report.tables import print_report, to_markdown
from w2s_ray.search.record import SweepRecord

if TYPE_CHECKING:
    from w2s_ray.report.analyses import Analysis

__all__ = [
    "Report",
    "answers",
    "print_report",
    "to_json",
    "to_markdown",
    "write_everything",
    "write_page",
    "write_report",
]


def write_report(record: SweepRecord, folder: Path) -> Path:
    """Writes `report.md`, `report.json` and their figures into `folder`, made if missing, and returns it.

    Every file is written beside and renamed into its place, so a reader finds the old or the new, never a half.
    """
    # Imported late: matplotlib takes a second that the command line's other uses need not wait for.
    from w2s_ray.report.figures import write_figures

    report = answers(record)
    with _beside(folder) as beside:
        figures = write_figures(report, record, beside)
        _write_answer(report, [path.name for path in figures if path.suffix == ".png"], beside)
    return folder


def write_everything(analysis: "Analysis", folder: Path) -> Path:
    """Writes what `write_report` does, all other figures (PNG, SVG), tables (CSV, LaTeX) and `report.html`.

    Returns the path of the page.
    """
    from w2s_ray.report.contents import sheets_of
    from w2s_ray.report.drawing import WIDE, save
    from w2s_ray.report.gallery import pictures_of
    from w2s_ray.report.page import page_of

    with _beside(folder) as beside:
        pictures = pictures_of(analysis)
        for key, picture in pictures.items():
            figure = picture.draw(WIDE)
            for suffix in ("png", "svg"):
                save(figure, beside / f"{key}.{suffix}")
        for key, sheet in sheets_of(analysis).items():
            (beside / f"table-{key}.csv").write_text(sheet.to_csv(), encoding="utf-8")
            (beside / f"table-{key}.tex").write_text(sheet.to_latex(), encoding="utf-8")
        _write_answer(
            analysis.report, [f"{key}.png" for key in ("accuracy", "pgr", "search") if key in pictures], beside
        )
        (beside / "report.html").write_text(page_of([analysis]), encoding="utf-8")
    return folder / "report.html"


def write_page(analyses: "Sequence[Analysis]", path: Path) -> Path:
    """Writes one page on one or several sweeps to `path`, whose folder is made if missing, and returns it."""
    from w2s_ray.report.page import page_of

    with _beside(path.parent) as beside:
        (beside / path.name).write_text(page_of(analyses), encoding="utf-8")
    return path


def _write_answer(report: Report, pictures: Sequence[str], folder: Path) -> None:
    content = json.dumps(to_json(report), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "report.json").write_text(content + "\n", encoding="utf-8")
    (folder / "report.md").write_text(to_markdown(report, pictures), encoding="utf-8")


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Gives a new folder to fill; on a clean exit its files move into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir()):
            os.replace(path, folder / path.name)
