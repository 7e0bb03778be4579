"""The confirmation that is reported is that of the present winner, and its numbers are those of the stored models."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from w2s_ray.report import answers, to_json, to_markdown
from w2s_ray.report.analyses import analyse
from w2s_ray.report.contents import sheets_of
from w2s_ray.report.frames import frames_of
from w2s_ray.report.page import page_of
from w2s_ray.report.retested import seeds_difference
from w2s_ray.report.statistics import Interval, difference_interval, pgr_interval

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


@pytest.fixture
def chosen(make_world: Callable[..., World], right_on: RightOn) -> World:
    """A naive default at 70 % and a confidence trial at 76 %, which fresh seeds bring to 71 and 74 %."""
    world = make_world(confirm=2)
    world.trial("naive", right_on(0.70), oracle=0.70, default=True)
    world.trial("confidence", right_on(0.76), oracle=0.76)
    world.confirm(0, right_on(0.71))
    world.confirm(1, np.stack([right_on(0.73), right_on(0.75)]))
    return world


def limits(interval: Interval) -> tuple[float | None, ...]:
    return interval.estimate, interval.low, interval.high


def test_the_numbers_are_those_of_the_stored_models(chosen: World, right_on: RightOn) -> None:
    confirmed = answers(chosen.record()).pairings[0].confirmed
    assert (confirmed.trial, confirmed.method, confirmed.seeds) == (1, "confidence", (3, 4))
    fresh, default = np.stack([right_on(0.73), right_on(0.75)]), np.stack([right_on(0.71)] * 2)
    low, high = np.stack([right_on(0.6)] * 2), np.stack([right_on(0.8)] * 2)
    assert limits(confirmed.pgr) == pytest.approx(limits(pgr_interval(low, fresh, high)))
    assert limits(confirmed.lead.fresh) == pytest.approx(limits(difference_interval(fresh, default)))
    same_seeds = np.stack([right_on(0.76)] * 3)
    assert limits(confirmed.best.by_seeds) == pytest.approx(limits(seeds_difference(same_seeds, fresh)))
    looks = (confirmed.best.validation, confirmed.best.test, confirmed.best.fresh)
    assert [look.estimate for look in looks] == pytest.approx([0.75, 0.76, 0.74])  # 30 of 40 validation examples
    leads = (confirmed.lead.validation, confirmed.lead.test, confirmed.lead.fresh, confirmed.lead.by_seeds)
    assert [lead.estimate for lead in leads] == pytest.approx([0.05, 0.06, 0.03, 0.03])


def test_it_is_told_in_words_tables_json_and_frames(chosen: World) -> None:
    record = chosen.record()
    report = answers(record)
    text = to_markdown(report)
    assert "Trained again with fresh seeds 3, 4, which no trial used, it has 74.0 % [" in text
    assert "Its lead over the naive default is +5.0 points [" in text
    assert "its seeds by +3.0 points [" in text
    found = to_json(report)["pairings"]
    assert found[0]["confirmed"]["seeds"] == [3, 4]
    assert found[0]["confirmed"]["lead"]["fresh"] == pytest.approx(0.03)
    assert found[0]["confirmed"]["pgr_low"] < found[0]["confirmed"]["pgr"] == pytest.approx(0.7)
    assert found[1]["confirmed"] is None
    analysis = analyse(record)
    sheets = sheets_of(analysis)
    assert [row[1] for row in sheets["confirmed"].rows] == ["best: confidence", "naive default"]
    assert len(sheets["lead"].rows) == 1
    assert "which nobody chose" in page_of([analysis])
    results = frames_of(record).results.set_index("method")
    assert results["confirmed_student"].tolist()[:1] + results["confirmed_student"].tolist()[2:] == [0.71, 0.74]


def test_a_sweep_that_asks_for_none_tells_nothing_of_it(chosen: World) -> None:
    record = chosen.record()
    record = replace(record, sweep=record.sweep.model_copy(update={"search": type(record.sweep.search)()}))
    report = answers(record)
    assert "confirmed" not in to_json(report)["pairings"][0]
    assert "fresh" not in to_markdown(report)


def test_a_new_winner_is_not_told_with_the_numbers_of_the_old_one(chosen: World, right_on: RightOn) -> None:
    chosen.trial("confidence", right_on(0.77), oracle=0.77)
    pairing = answers(chosen.record()).pairings[0]
    assert pairing.confirmed is None
    assert pairing.unconfirmed == "trial 2 is not trained again with fresh seeds 3, 4 yet"
    chosen.confirm(2, right_on(0.72))
    assert answers(chosen.record()).pairings[0].confirmed.best.fresh.estimate == pytest.approx(0.72)


def test_a_confirmation_with_other_seeds_than_the_spec_asks_for_now_is_none(chosen: World) -> None:
    made = chosen.trials[1].confirmation
    chosen.trials[1] = replace(chosen.trials[1], confirmation=replace(made, seeds=(7, 8)))
    assert answers(chosen.record()).pairings[0].confirmed is None


def test_a_confirmation_that_failed_is_told_with_its_reason(chosen: World) -> None:
    failed = replace(chosen.trials[1].confirmation, state="failed", error="ValueError: the loss is nan")
    chosen.trials[1] = replace(chosen.trials[1], confirmation=failed)
    note = "trial 1 could not be trained again with fresh seeds 3, 4: ValueError: the loss is nan."
    assert note in to_markdown(answers(chosen.record()))


def test_where_the_naive_default_is_best_its_own_accuracy_is_followed(
    make_world: Callable[..., World], right_on: RightOn
) -> None:
    world = make_world(confirm=1)
    world.trial("naive", right_on(0.75), oracle=0.75, default=True)
    world.confirm(0, right_on(0.72))
    report = answers(world.record())
    assert report.pairings[0].confirmed.lead is None
    assert "Its accuracy is 75.0 % on validation, 75.0 % on test, and 72.0 % on test with fresh seeds" in to_markdown(
        report
    )
