"""What came out of a sweep, and how sure it is: statistics, answer, tables and figures, from study and store alone."""

import json
import os
import tempfile
from pathlib import Path

from w2s_ray.report.answers import Report, answers, to_json
from w2s_ray.report.tables import print_report, to_markdown
from w2s_ray.search.record import SweepRecord

__all__ = ["Report", "answers", "print_report", "to_json", "to_markdown", "write_report"]


def write_report(record: SweepRecord, folder: Path) -> Path:
    """Writes `report.md`, `report.json` and the figures into `folder`, made if missing, and returns it.

    Every file is written beside and renamed into its place, so a reader finds the old or the new, never a half.
    """
    # Imported late: matplotlib takes a second that the command line's other uses need not wait for.
    from w2s_ray.report.figures import write_figures

    report = answers(record)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name:
        beside = Path(name)
        figures = write_figures(report, record, beside)
        pictures = [path.name for path in figures if path.suffix == ".png"]
        content = json.dumps(to_json(report), indent=2, ensure_ascii=False, allow_nan=False)
        (beside / "report.json").write_text(content + "\n", encoding="utf-8")
        (beside / "report.md").write_text(to_markdown(report, pictures), encoding="utf-8")
        for path in sorted(beside.iterdir()):
            os.replace(path, folder / path.name)
    return folder
