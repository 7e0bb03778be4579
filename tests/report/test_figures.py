import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from w2s_ray.report import answers, write_report
from w2s_ray.report.figures import accuracy_figure, pgr_figure, search_figure, write_figures

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]
PNG = b"\x89PNG"


def test_every_figure_is_written_as_png_and_svg(full_world: World, tmp_path: Path) -> None:
    record = full_world.record()
    paths = write_figures(answers(record), record, tmp_path)
    names = [path.name for path in paths]
    assert names == ["accuracy.png", "accuracy.svg", "pgr.png", "pgr.svg", "search.png", "search.svg"]
    for path in paths:
        content = path.read_bytes()
        assert len(content) > 5000
        assert content.startswith(PNG) if path.suffix == ".png" else b"<svg" in content


def test_axes_are_labelled_with_their_units(full_world: World) -> None:
    record = full_world.record()
    report = answers(record)
    assert accuracy_figure(report).axes[0].get_ylabel() == "Test accuracy (%)"
    assert pgr_figure(report).axes[0].get_ylabel() == "Performance gap recovered (PGR)"
    search = search_figure(report, record).axes[0]
    assert search.get_ylabel() == "Validation accuracy\nagainst ground truth (%)"
    assert search.get_xlabel() == "Trial number"
    assert [axes.get_title() for axes in pgr_figure(report).axes] == ["a→c", "b→c"]
    ticks = [tick.get_text() for tick in pgr_figure(report).axes[0].get_xticklabels()]
    assert ticks == ["naive\ndefault", "naive", "confidence", "bootstrap"]


def visible_texts(axes: Axes) -> Iterator[Text]:
    """Yields the title and the tick labels; matplotlib keeps some labels beyond the ends, which are not drawn."""
    yield axes.title
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if tick.label1.get_text() and low <= tick.get_loc() <= high:
                yield tick.label1


def test_no_text_of_a_figure_overlaps_another(full_world: World) -> None:
    record = full_world.record()
    report = answers(record)
    for figure in (accuracy_figure(report), pgr_figure(report), search_figure(report, record)):
        figure.draw_without_rendering()  # type: ignore[no-untyped-call]
        boxes = [text.get_window_extent() for axes in figure.axes for text in visible_texts(axes)]
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_an_undefined_pgr_and_a_pairing_without_trials_are_drawn_as_words(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7), models=(0.6, 0.6))
    figure = pgr_figure(answers(world.record()))
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == [
        "undefined:\nno clear gap",
        "no finished trial yet",
    ]


def test_best_so_far_never_falls(full_world: World) -> None:
    record = full_world.record()
    for axes in search_figure(answers(record), record).axes:
        steps = next(line for line in axes.lines if line.get_drawstyle() == "steps-post")
        values = [float(value) for value in steps.get_ydata()]  # type: ignore[union-attr]
        assert values == sorted(values)


def test_the_report_folder_is_whole_and_can_be_written_again(full_world: World, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "report"
    assert write_report(full_world.record(), folder) == folder
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_report(full_world.record(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert {"report.md", "report.json", "pgr.svg"} < set(first)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "![pgr](pgr.png)" in text
    assert json.loads(first["report.json"])["sweep"] == "made-up"


def test_a_report_can_be_written_before_anything_has_finished(world: World, tmp_path: Path) -> None:
    folder = write_report(world.record(), tmp_path / "report")
    assert sorted(path.name for path in folder.iterdir()) == ["report.json", "report.md"]


def test_a_failed_report_leaves_the_old_one_and_nothing_else(
    full_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_report(full_world.record(), tmp_path / "report")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr("w2s_ray.report.to_markdown", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(full_world.record(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_report_brings_neither_torch_nor_ray_nor_mlflow_nor_pyplot() -> None:
    code = (
        "import sys, w2s_ray.report, w2s_ray.report.figures;"
        "print(sorted({'torch', 'ray', 'mlflow', 'optuna', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
