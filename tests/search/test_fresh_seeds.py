"""Which trials are confirmed, with which seeds and stages, and how a plan counts them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from w2s_ray.methods import Parts, stages_of
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.folder import LiveRecord, experiment_in, journal_path, load_record, save_spec
from w2s_ray.search.foresee import walk_all
from w2s_ray.search.fresh_seeds import unconfirmed
from w2s_ray.search.listing import list_sweeps
from w2s_ray.search.plan import make_plan
from w2s_ray.search.record import COMPLETE, FAILED, SweepRecord
from w2s_ray.search.status import status_of
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def confirming(sweep: Sweep) -> Sweep:
    """The sweep of conftest with two fresh seeds and eight trials, four of each pairing."""
    return with_search(sweep, confirm=2, trials=8, parallelism=1)


def with_search(sweep: Sweep, **changes: Any) -> Sweep:
    return replace(sweep, search=replace(sweep.search, **changes))


def searched(sweep: Sweep, store: Store, best: int) -> Study:
    """A study whose budget is spent, in which the best trial of each pairing is its `best`-th."""
    study = Study(Parts(sweep), journal_path(store, sweep.name))
    while (asked := study.ask()) is not None:
        value = 0.9 if asked.number // 2 == best else 0.5 + asked.number / 100
        study.tell(asked.number, Outcome("complete", {"oracle": value, "weak": 0.5}))
    return study


def confirm_all(study: Study, record: SweepRecord, state: str = COMPLETE, error: str | None = None) -> None:
    """Publishes what `unconfirmed` asks for as if it had been trained, and says so in the study."""
    parts = Parts(record.sweep).with_fresh_seeds()
    for trial in unconfirmed(record):
        roles = stages_of(parts, experiment_in(trial))
        for stage in walk_all(roles):
            with record.store.publish(stage):
                pass
        addresses = {role: tuple(one.address for one in of) for role, of in roles.items()}
        study.confirm(trial.number, Confirmation(record.sweep.fresh_seeds, addresses, state, error))


def test_fresh_seeds_are_the_smallest_that_no_trial_uses(sweep: Sweep) -> None:
    assert with_search(sweep, confirm=3).fresh_seeds == (2, 3, 4)
    assert replace(with_search(sweep, confirm=3), seeds=(1, 3, 2**31 - 1)).fresh_seeds == (0, 2, 4)
    assert sweep.fresh_seeds == ()


def test_an_ensemble_of_seeds_is_confirmed_by_one_of_as_many(sweep: Sweep) -> None:
    changes: dict[str, Any] = {"methods": {"naive": {"labels.ensemble": "seeds"}}, "space": {}}
    with pytest.raises(ValidationError, match="an ensemble of 2 seeds cannot be confirmed with 3"):
        replace(with_search(sweep, confirm=3, trials=2), **changes)
    with_ensemble = replace(with_search(sweep, confirm=2, trials=2), **changes)
    assert Parts(with_ensemble).with_fresh_seeds().sweep.seeds == (2, 3)


def test_the_best_trial_and_the_naive_default_of_each_pairing_are_confirmed(confirming: Sweep, store: Store) -> None:
    study = searched(confirming, store, best=3)
    record = load_record(store, confirming)
    assert [trial.number for trial in record.to_confirm()] == [0, 6, 1, 7]
    assert [trial.number for trial in unconfirmed(record)] == [0, 6, 1, 7]
    confirm_all(study, record)
    assert unconfirmed(load_record(store, confirming)) == []
    assert load_record(store, confirming) == LiveRecord(study, store).now()


def test_where_the_naive_default_is_best_it_is_confirmed_once(confirming: Sweep, store: Store) -> None:
    searched(confirming, store, best=0)
    assert [trial.number for trial in load_record(store, confirming).to_confirm()] == [0, 1]


def test_a_lost_stage_is_asked_for_again(confirming: Sweep, store: Store) -> None:
    study = searched(confirming, store, best=3)
    confirm_all(study, load_record(store, confirming))
    lost = load_record(store, confirming).trials[7].confirmation
    assert lost is not None
    store.place(lost.stages["student"][1]).rename(store.root / "elsewhere")
    assert [trial.number for trial in unconfirmed(load_record(store, confirming))] == [7]


def test_a_longer_search_may_have_another_winner_and_keeps_what_was_confirmed(confirming: Sweep, store: Store) -> None:
    study = searched(confirming, store, best=2)
    confirm_all(study, load_record(store, confirming))
    longer = with_search(confirming, trials=10)
    study = Study(Parts(longer), journal_path(store, longer.name))
    while (asked := study.ask()) is not None:
        study.tell(asked.number, Outcome("complete", {"oracle": 0.95, "weak": 0.5}))
    record = load_record(store, longer)
    assert [trial.number for trial in unconfirmed(record)] == [8, 9]
    assert [trial.number for trial in record.trials if trial.confirmation] == [0, 1, 4, 5]


def test_a_plan_counts_the_baselines_and_defaults_surely_and_the_winners_at_most(
    confirming: Sweep, store: Store
) -> None:
    plain, plan = make_plan(with_search(confirming, confirm=0), store), make_plan(confirming, store)
    # Of two fresh seeds: three baselines (both pairings have the one ceiling), two naive defaults, and two winners
    # that may be bootstrap students, each with an intermediate.
    extra = 2 * (3 + 2 + 2 * 2)
    assert plan.to_confirm == extra == plan.to_run - plain.to_run == plan.with_sharing - plain.with_sharing
    assert plan.without_sharing - plain.without_sharing == 2 * 2 * (3 + 4)
    assert f"with fresh seeds 2, 3: at most {extra} of the stages to run" in plan.to_text()
    assert plan.to_json()["confirm"] == {"seeds": [2, 3], "to_run": extra, "winners_known": False}
    assert "confirm" not in plain.to_json()
    assert "confirm" not in plain.to_text()


def test_a_plan_after_the_search_counts_what_will_run(confirming: Sweep, store: Store) -> None:
    study = searched(confirming, store, best=3)
    record = load_record(store, confirming)
    parts = Parts(confirming).with_fresh_seeds()
    stages = walk_all(*(stages_of(parts, experiment_in(trial)) for trial in record.to_confirm()))
    expected = [stage for stage in stages if stage.kind == "finetune"]
    plan = make_plan(confirming, store)
    assert (plan.to_confirm, plan.winners_known) == (len(expected), True)
    confirm_all(study, record)
    assert make_plan(confirming, store).to_confirm == 0


def test_a_sweep_of_one_trial_a_pairing_is_planned_exactly(confirming: Sweep, store: Store) -> None:
    plan = make_plan(with_search(confirming, trials=2), store)
    assert plan.to_confirm == 2 * (3 + 2)


def test_status_tells_how_far_the_confirmation_is_and_that_the_sweep_is_not_over(
    confirming: Sweep, store: Store
) -> None:
    study = searched(confirming, store, best=3)
    status = status_of(load_record(store, confirming))
    assert status.state == "interrupted"
    assert status.to_json()["confirm"] == {"seeds": [2, 3], "trials": dict.fromkeys("0617", "waiting")}
    confirm_all(study, load_record(store, confirming))
    status = status_of(load_record(store, confirming))
    assert status.state == "finished"
    assert "confirm with fresh seeds 2, 3: trial 0 complete, trial 6 complete" in status.to_text()


def test_a_confirmation_that_failed_is_told_and_the_sweep_is_over(confirming: Sweep, store: Store) -> None:
    confirm_all(searched(confirming, store, best=3), load_record(store, confirming), FAILED, "ValueError: a NaN")
    status = status_of(load_record(store, confirming))
    assert status.state == "finished"
    assert "failed  confirmation of trial 7: ValueError: a NaN" in status.to_text()
    assert len(unconfirmed(load_record(store, confirming))) == 4, "the next run tries again"


def test_a_store_lists_a_sweep_whose_winners_are_not_confirmed_as_interrupted(confirming: Sweep, store: Store) -> None:
    save_spec(store, confirming)
    study = searched(confirming, store, best=3)
    assert [row.state for row in list_sweeps(store)] == ["interrupted"]
    confirm_all(study, load_record(store, confirming))
    assert [row.state for row in list_sweeps(store)] == ["finished"]
