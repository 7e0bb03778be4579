from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from w2s_ray.report import answers
from w2s_ray.report.analyses import Analysis, analyse
from w2s_ray.report.contents import sheets_of
from w2s_ray.report.gallery import pictures_of
from w2s_ray.report.paper_figures import saliency_figure
from w2s_ray.search.record import SweepRecord
from w2s_ray.spec import replace as replace_sweep

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]
NAMES = ["lp weak", "lp truth", "ft weak", "ft weak, lp truth", "ft truth"]


@pytest.fixture
def probed(world: World, right_on: RightOn) -> World:
    """A pairing with the paper's own accuracies; one probe was tried twice, and is worse on the test split."""
    world.trial("naive", right_on(0.75), default=True, models=(0.6, 0.82))
    for labels, after, student, oracle in (
        ("weak", "none", 0.66, 0.7),
        ("truth", "none", 0.80, 0.6),
        ("truth", "none", 0.72, 0.7),
        ("weak", "weak", 0.76, 0.7),
        ("truth", "weak", 0.78, 0.7),
    ):
        params = {"probe_labels": labels, "probe_after": after}
        made = world.trial("probe", right_on(student), oracle=oracle, params=params, models=(0.6, 0.82))
        if after == "weak":
            stages = {**made.stages, "finetuned": world.model("finetuned", right_on(0.75))}
            world.trials[-1] = replace(made, stages=stages)
    return world


def analysis_of(world: World) -> Analysis:
    return analyse(world.record())


def test_the_five_bars_are_the_accuracies_in_the_papers_order(probed: World) -> None:
    found = analysis_of(probed).pairings[0].saliency
    assert found is not None
    assert list(found.bars) == NAMES
    assert [bar.estimate for bar in found.bars.values()] == pytest.approx([0.66, 0.72, 0.75, 0.78, 0.82])
    assert list(found.trials.values()) == [1, 3, 5, 5, None]


def test_of_two_trials_of_a_probe_validation_decides_and_never_the_test_split(probed: World) -> None:
    found = analysis_of(probed).pairings[0].saliency
    assert found is not None
    assert found.bars["lp truth"].estimate == pytest.approx(0.72)


def test_the_share_that_is_closed_is_the_papers_sixty_per_cent(probed: World) -> None:
    found = analysis_of(probed).pairings[0].saliency
    assert found is not None
    assert found.gain.estimate == pytest.approx(0.06)
    assert found.closed.estimate == pytest.approx(0.6)


def test_a_probe_that_learned_ground_truth_is_never_called_best(probed: World) -> None:
    analysis = analysis_of(probed)
    answer = analysis.report.pairings[0]
    assert answer.best == "naive"
    assert analysis.pairings[0].optimism is not None
    assert {choice.trial for choice in analysis.pairings[0].choices} <= {0, 1, 4, None}
    sweep = replace_sweep(probed.sweep, methods={"naive": {}, "probe": {}})
    told = answers(SweepRecord(sweep, tuple(probed.trials), probed.store)).pairings[0]
    assert [(one.method, one.trial, one.num_compared) for one in told.methods] == [("naive", 0, 1), ("probe", 1, 2)]
    alone = answers(SweepRecord(sweep, tuple(probed.trials[2:4]), probed.store)).pairings[0]
    assert (alone.best, alone.methods[0].trial) == ("probe", 3), "unless there is nothing else"


def test_without_all_three_probes_there_are_no_bars(probed: World) -> None:
    probed.trials.pop()
    analysis = analysis_of(probed)
    assert analysis.pairings[0].saliency is None
    assert "saliency" not in pictures_of(analysis)
    assert "saliency" not in sheets_of(analysis)


def test_figure_table_and_words_say_the_same(probed: World, right_on: RightOn) -> None:
    probed.trial("naive", right_on(0.7), pairing=1)
    analysis = analysis_of(probed)
    picture = pictures_of(analysis)["saliency"]
    assert "ft weak, lp truth 78.0 % [" in picture.alt
    assert "the gain of ft weak, lp truth over lp truth is +6.0 points [" in picture.alt
    rows = sheets_of(analysis)["saliency"].shown()
    assert [row[1] for row in rows] == NAMES
    assert [row[2][:6] for row in rows] == ["66.0 %", "72.0 %", "75.0 %", "78.0 %", "82.0 %"]
    assert rows[3][4].startswith("0.60 [")
    first, second = saliency_figure(analysis).axes
    assert [bar.get_height() for bar in first.patches] == pytest.approx([66, 72, 75, 78, 82])
    assert [tick.get_text() for tick in first.get_xticklabels()] == [name.replace(", ", ",\n") for name in NAMES]
    assert first.get_ylim()[0] == 50
    assert [text.get_text() for text in second.texts] == ["not all probes\nhave finished"]
