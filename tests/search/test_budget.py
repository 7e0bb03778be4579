"""A budget says no in time, and says of a sweep's trials which are left out."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search.budget import Allowance, account
from w2s_ray.search.driver import run
from w2s_ray.search.folder import journal_path, load_record, save_spec
from w2s_ray.search.searcher import StudySearcher
from w2s_ray.search.status import status_of
from w2s_ray.search.study import Outcome, Study
from w2s_ray.search.trial import OUTCOME
from w2s_ray.spec import Sweep, replace
from w2s_ray.spec.budget import Budget, deadline_after
from w2s_ray.stages.spent import Meter, Used
from w2s_ray.stages.store import Store

START = datetime(2027, 1, 31, 12, tzinfo=timezone.utc)
DONE = Outcome("complete", {"oracle": 0.7, "weak": 0.8}, {10: 0.6})


@dataclass
class Gauge:
    """A meter and a clock that a test sets."""

    cpu_hours: float = 0.0
    gpu_hours: float = 0.0
    now: float = START.timestamp()

    def used(self, now: float) -> Used:
        return Used(self.cpu_hours, self.gpu_hours)

    def allowance(self, before: Sequence[float] = (), **budget: Any) -> Allowance:
        made = Budget.model_validate(budget) if budget else None
        meter: Any = self
        return Allowance(made, meter, START.timestamp(), before, clock=lambda: self.now)


def test_without_a_budget_all_is_allowed() -> None:
    assert Gauge(cpu_hours=1e9).allowance().refusal() is None


@pytest.mark.parametrize(
    "budget", [{"max_cpu_hours": 10}, {"max_gpu_hours": 5}, {"max_cost": 20, "price": {"cpu": 1, "gpu": 2}}]
)
def test_a_trial_is_refused_once_it_and_the_open_ones_would_not_end_within_the_budget(budget: dict[str, Any]) -> None:
    # Each trial takes 1 CPU-hour and 0.5 GPU-hours, which is 2 of money; so ten are allowed in all.
    gauge = Gauge()
    allowance = gauge.allowance(**budget)
    for trial in ("a", "b"):
        assert allowance.refusal() is None
        allowance.begin(trial)
    asked = 2
    while True:
        gauge.cpu_hours, gauge.gpu_hours = asked - 1.0, (asked - 1) / 2
        allowance.end("a")
        if allowance.refusal() is not None:
            break
        allowance.begin("a")
        asked += 1
    assert asked == 10


def test_as_shared_stages_are_spread_over_more_trials_a_refusal_may_be_taken_back() -> None:
    gauge = Gauge(cpu_hours=6.0)  # five for what is shared, one for the trial
    allowance = gauge.allowance(max_cpu_hours=11.5)
    for trial in ("a", "b"):
        allowance.begin(trial)
    allowance.end("a")
    assert allowance.refusal() == "6 of 11.5 CPU-hours are used, and a trial takes about 6"
    gauge.cpu_hours = 7.0
    allowance.end("b")
    assert allowance.refusal() is None


def test_a_deadline_leaves_time_for_a_trial() -> None:
    gauge = Gauge()
    allowance = gauge.allowance(deadline="2h")
    allowance.begin("a")
    gauge.now += 1800
    allowance.end("a")
    gauge.now += 3500
    assert allowance.refusal() is None
    gauge.now += 200
    assert allowance.refusal() == "the deadline is 2027-01-31T14:00+00:00, and a trial takes about 1800 s"


def test_a_deadline_knows_how_long_trials_took_under_an_earlier_driver() -> None:
    gauge = Gauge(now=START.timestamp() + 7.9 * 3600)
    # The last was open while no driver ran; with the mean it would stop a sweep that has time left.
    before = [1800.0] * 19 + [70_000.0]
    said = "the deadline is 2027-01-31T20:00+00:00, and a trial takes about 1800 s"
    assert gauge.allowance(before, deadline="8h").refusal() == said
    assert gauge.allowance(before, deadline="9h").refusal() is None


def test_a_driver_and_a_reader_take_how_long_trials_took_from_the_study(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, now = Store(tmp_path / "store"), datetime.now(timezone.utc)
    made = replace(
        sweep,
        store=store.uri,
        tracking=replace(sweep.tracking, enabled=False),
        search=replace(sweep.search, parallelism=1, budget=Budget(deadline=(now + timedelta(minutes=30)).isoformat())),
    )
    save_spec(store, made)
    study = Study(Parts(made), journal_path(store, made.name))
    for number in range(4):
        study.ask()
        study.tell(number, Outcome("pruned"))
    journal = journal_path(store, made.name)
    assert status_of(load_record(store, made)).state == "interrupted"
    journal.write_text(
        re.sub(r'("datetime_start":)"[^"]+"', rf'\1"{datetime.now() - timedelta(hours=1)}"', journal.read_text())
    )
    assert status_of(load_record(store, made)).state == "out of budget"
    run(made)
    assert re.search(r"16 of 20 trials are left out: .*a trial takes about 36\d\d s", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("90m", START + timedelta(minutes=90)),
        ("1.5h", START + timedelta(minutes=90)),
        ("2 d", START + timedelta(days=2)),
        ("2027-02-01T12:00+01:00", START + timedelta(hours=23)),
        ("2027-02-01T12:00Z", START + timedelta(days=1)),
    ],
)
def test_a_deadline_is_a_duration_or_a_time_with_its_zone(written: str, meant: datetime) -> None:
    assert deadline_after(written, START) == meant


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"deadline": "soon"}, "a deadline is a duration, as in 90m"),
        ({"deadline": "2027-02-01T12:00"}, "needs its zone"),
        ({"deadline": datetime(2027, 2, 1)}, "in quotes"),
        ({"max_cost": 5}, "need each other"),
        ({"price": {"cpu": 5}}, "need each other"),
        ({"max_cost": 5, "price": {}}, "would never be reached"),
        ({"max_gpu_hours": 0}, "greater than 0"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(budget: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Budget.model_validate(budget)


def test_an_account_says_what_is_used_of_what() -> None:
    budget = Budget.model_validate({"max_gpu_hours": 4, "deadline": "8h"})
    assert account(budget, Used(1, 1.234), START.timestamp()) == (
        "1.23 of 4 GPU-hours used; deadline 2027-01-31T20:00+00:00"
    )


def test_results_that_came_early_are_shown_and_asked_for_again(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    study = Study(Parts(sweep), journal_path(store, sweep.name))
    for _ in range(4):
        study.ask()
    for number in (1, 2, 3):
        study.tell(number, DONE)
    study.show_early()
    record = load_record(store, sweep, live=False)
    assert [trial.state for trial in record.trials] == ["interrupted", "complete", "complete", "complete"]
    assert dict(record.trials[1].values) == {"oracle": 0.7, "weak": 0.8}
    assert dict(record.trials[1].intermediate) == {10: 0.6}
    again = Study(Parts(sweep), journal_path(store, sweep.name))
    assert [one.number for one in (again.ask() for _ in range(4)) if one is not None] == [0, 1, 2, 3]


def test_status_says_how_much_of_a_budget_is_used(sweep: Sweep, tmp_path: Path) -> None:
    data = sweep.model_dump(by_alias=True, exclude_none=True)
    budgeted = Sweep.model_validate({**data, "search": {**data["search"], "budget": {"max_cpu_hours": 3}}})
    store = Store(tmp_path / "store")
    assert "budget  0 of 3 CPU-hours used" in status_of(load_record(store, budgeted)).to_text()
    assert "budget" not in status_of(load_record(store, sweep)).to_text()


def test_a_search_that_gives_up_after_failures_shows_them_all(sweep: Sweep, tmp_path: Path) -> None:
    """Three of four open trials fail before the first one ends: their turn never comes."""
    store = Store(tmp_path / "store")
    study = Study(Parts(sweep), journal_path(store, sweep.name))
    searcher = StudySearcher(study, lambda number, outcome: None, 3, Allowance(None, Meter(store, "small"), 0.0, ()))
    for trial_id in "abcd":
        assert searcher.suggest(trial_id)
    failed = {OUTCOME: json.dumps({"state": "failed", "error": "NaN", "traceback": "File 1"})}
    for trial_id in "bcd":
        searcher.on_trial_complete(trial_id, failed)
    assert searcher.gave_up == "3 trials failed in a row, the last with NaN"
    assert not searcher.is_cut_off, "so the driver shows what came early"
