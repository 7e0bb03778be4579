"""Which student is meant, and what cannot be exported."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from w2s_ray.export.choice import choose_student
from w2s_ray.search.record import PRUNED, SweepRecord
from w2s_ray.spec import Pairing
from w2s_ray.spec import replace as changed

Finished = Callable[..., SweepRecord]


@pytest.fixture(scope="module")
def record(finished: Finished) -> SweepRecord:
    return finished()


def with_trials(record: SweepRecord, *changes: dict[str, Any]) -> SweepRecord:
    trials = [replace(record.trials[0], number=number, **change) for number, change in enumerate(changes)]
    return replace(record, trials=tuple(trials))


def test_the_best_on_validation_by_the_sweeps_objective_is_taken_and_of_equals_the_first(record: SweepRecord) -> None:
    values = [{"oracle": 0.7, "weak": 0.9}, {"oracle": 0.8, "weak": 0.6}, {"oracle": 0.8, "weak": 0.9}]
    several = with_trials(record, *({"values": one} for one in values))
    assert choose_student(several).trial.number == 1
    weak = replace(several, sweep=changed(several.sweep, objective="weak"))
    assert choose_student(weak).trial.number == 0


def test_a_trial_and_a_seed_can_be_named(record: SweepRecord) -> None:
    chosen = choose_student(with_trials(record, {}, {}), trial=1, seed=1, pairing="weak->strong")
    assert (chosen.trial.number, chosen.seed) == (1, 1)
    assert chosen.stage.address == record.trials[0].stages["student"][1]
    assert choose_student(record).seed == 0


def test_among_pairings_weak_labels_name_no_best(record: SweepRecord) -> None:
    sweep = changed(
        record.sweep, objective="weak", pairings=(*record.sweep.pairings, Pairing(weak="strong", strong="weak"))
    )
    two = with_trials(replace(record, sweep=sweep), {}, {"pairing": "strong→weak"})
    with pytest.raises(ValueError, match=r"differ from pairing to pairing.*add --pairing with one of weak→strong, str"):
        choose_student(two)
    assert choose_student(two, pairing="weak→strong").trial.number == 0


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"trial": 7}, "has no trial 7; see: w2s status exported"),
        ({"trial": 1}, "trial 1 is pruned; only a complete one"),
        ({"seed": 5}, "--seed must be one of the sweep's seeds, 0, 1; got 5"),
        ({"pairing": "a->b"}, "--pairing must be one of weak→strong; got 'a->b'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(record: SweepRecord, asked: dict[str, Any], answer: str) -> None:
    with pytest.raises(ValueError, match=answer):
        choose_student(with_trials(record, {}, {"state": PRUNED}), **asked)


def test_a_sweep_without_a_complete_trial_has_no_student(record: SweepRecord) -> None:
    with pytest.raises(ValueError, match="no trial of exported is complete"):
        choose_student(with_trials(record, {"state": PRUNED}))


def test_a_student_that_cannot_stand_alone_is_refused(finished: Finished) -> None:
    with pytest.raises(ValueError, match="is a kNN probe"):
        choose_student(finished(train="knn", neighbours=5))
    for train in ("head", "full"):
        with pytest.raises(ValueError, match="reads its supervisor's label in each text"):
            choose_student(finished(method="imitation", train=train))


def test_a_model_that_changed_since_is_noticed(record: SweepRecord) -> None:
    other = replace(record.trials[0], stages={**record.trials[0].stages, "student": ("0" * 32,) * 2})
    with pytest.raises(ValueError, match="no longer what trial 0 read"):
        choose_student(replace(record, trials=(other,)))
