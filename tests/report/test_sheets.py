import csv
import io
from typing import Any

from w2s_ray.report.analyses import analyse
from w2s_ray.report.contents import overview_sheet, sheets_of
from w2s_ray.report.sheets import Column, Sheet
from w2s_ray.report.statistics import UNDEFINED, Interval

World = Any  # tests/report/conftest.py

SHEET = Sheet(
    "one",
    "Right & wrong",
    (Column("name"), Column("test accuracy", "accuracy"), Column("gain", "difference"), Column("at step", "step")),
    (("a→b_1", Interval(0.75, 0.7, 0.8), -0.0001, 1234.4), ("50 %", UNDEFINED, None, None)),
    frozenset({0}),
)


def test_people_read_rounded_numbers_with_their_units() -> None:
    assert SHEET.shown() == [["a→b_1", "75.0 % [70.0, 80.0]", "0.0 points", "1,234"], ["50 %", "–", "–", "–"]]


def test_csv_keeps_raw_numbers_and_gives_an_interval_three_columns() -> None:
    rows = list(csv.reader(io.StringIO(SHEET.to_csv())))
    assert rows == [
        ["name", "test_accuracy", "test_accuracy_low", "test_accuracy_high", "gain", "at_step"],
        ["a→b_1", "0.75", "0.7", "0.8", "-0.0001", "1234.4"],
        ["50 %", "", "", "", "", ""],
    ]


def test_latex_escapes_what_latex_would_read() -> None:
    latex = SHEET.to_latex()
    assert r"\caption{Right \& wrong}" in latex
    assert r"\textbf{a$\to$b\_1} & \textbf{75.0 \% [70.0, 80.0]}" in latex
    assert r"50 \% & -- & -- & -- \\" in latex
    assert r"\begin{tabular}{lrrr}" in latex


def test_every_table_of_a_sweep_has_all_its_cells(full_world: World) -> None:
    analysis = analyse(full_world.record())
    sheets = sheets_of(analysis)
    assert list(sheets) == [
        "answer", "choices", "optimism", "stopping", "calibration", "agreement", "best", "baselines", "unfinished"
    ]  # fmt: skip
    for sheet in [*sheets.values(), overview_sheet([analysis, analysis])]:
        assert all(len(row) == len(sheet.columns) for row in sheet.shown())
        rows = list(csv.reader(io.StringIO(sheet.to_csv())))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == len(sheet.rows) + 1


def test_the_answers_table_bolds_the_best_of_each_pairing(full_world: World) -> None:
    analysis = analyse(full_world.record())
    sheet = sheets_of(analysis)["answer"]
    bold = [sheet.rows[place][:2] for place in sorted(sheet.bold)]
    assert bold == [(pairing.name, pairing.best) for pairing in analysis.report.pairings]


def test_a_sweep_that_has_just_begun_has_its_baselines_alone(world: World) -> None:
    assert list(sheets_of(analyse(world.record()))) == ["baselines"]
