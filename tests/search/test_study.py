"""The study proposes the same whatever the order in which trials end, and forgets nothing when its driver dies."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.methods import Experiment, Parts
from w2s_ray.search.naming import study_names
from w2s_ray.search.place import Place
from w2s_ray.search.reading import read_trials
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace
from w2s_ray.stages.errors import StoreUnavailableError

FindPlace = Callable[[], Place]


def value_of(experiment: Experiment) -> float:
    """A smooth landscape over the parameters."""
    params: dict[str, Any] = dict(experiment.params)
    return float(0.7 + 0.1 * params.get("alpha", 0) - abs(params.get("lr", 1e-3) - 3e-3) - 0.001 * params["epochs"])


def complete(experiment: Experiment) -> Outcome:
    value = value_of(experiment)
    return Outcome("complete", {"oracle": value, "weak": 1 - value}, {1: value / 2, 2: value})


def run(study: Study, pick: Callable[[list[Experiment]], int], stop_after: int | None = None) -> None:
    """Asks and tells as a driver does; `pick` chooses which open trial ends next."""
    open_trials: list[Experiment] = []
    ended = 0
    while not (study.finished and not open_trials):
        while (experiment := study.ask()) is not None:
            open_trials.append(experiment)
        if ended == stop_after:
            return
        done = open_trials.pop(pick(open_trials))
        study.tell(done.number, complete(done))
        ended += 1


def trials_in(sweep: Sweep, place: Place) -> list[tuple[int, FrozenTrial]]:
    return read_trials(place, study_names(Parts(sweep)))


def proposals(sweep: Sweep, place: Place) -> list[tuple[int, dict[str, Any], float | None]]:
    return [(number, dict(trial.params), trial.value) for number, trial in trials_in(sweep, place)]


def with_search(sweep: Sweep, **changes: Any) -> Sweep:
    return replace(sweep, search=Search.model_validate({**sweep.search.model_dump(), **changes}))


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "nsga2"])
def test_the_order_in_which_trials_end_does_not_change_what_is_proposed(
    sweep: Sweep, sampler: str, tmp_path: Path
) -> None:
    sweep = with_search(sweep, sampler=sampler)
    run(Study(Parts(sweep), tmp_path / "in-order" / "journal"), lambda trials: 0)
    run(Study(Parts(sweep), tmp_path / "in-reverse" / "journal"), lambda trials: -1)
    dice = random.Random(0)
    run(Study(Parts(sweep), tmp_path / "at-random" / "journal"), lambda trials: dice.randrange(len(trials)))
    first = proposals(sweep, tmp_path / "in-order" / "journal")
    assert len(first) == 20
    assert proposals(sweep, tmp_path / "in-reverse" / "journal") == first
    assert proposals(sweep, tmp_path / "at-random" / "journal") == first


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=5), max_size=4), st.randoms(use_true_random=False))
def test_a_search_killed_anywhere_ends_with_the_same_study(
    sweep: Sweep, tmp_path_factory: pytest.TempPathFactory, kills: list[int], dice: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("kills")
    run(Study(Parts(sweep), folder / "alone" / "journal"), lambda trials: 0)
    for stop_after in kills:
        run(Study(Parts(sweep), folder / "killed" / "journal"), lambda trials: dice.randrange(len(trials)), stop_after)
    run(Study(Parts(sweep), folder / "killed" / "journal"), lambda trials: dice.randrange(len(trials)))
    assert proposals(sweep, folder / "killed" / "journal") == proposals(sweep, folder / "alone" / "journal")


def test_the_first_trials_of_each_pairing_are_the_plain_defaults_of_each_method(sweep: Sweep, place: FindPlace) -> None:
    study = Study(Parts(sweep), place())
    asked = []
    for _ in range(6):
        experiment = study.ask()
        assert experiment is not None
        asked.append(experiment)
        study.tell(experiment.number, complete(experiment))
    assert [(e.pairing, e.method, e.default) for e in asked] == [
        (pairing.name, method, True) for method in sweep.methods for pairing in sweep.pairings
    ]
    assert asked[0].params == {"lr": 1e-3, "epochs": 3}
    assert asked[2].params == {"lr": 1e-3, "epochs": 3, "alpha": 0.5, "alpha_warmup": 0.2}


def test_no_more_trials_are_open_than_the_search_allows(sweep: Sweep, place: FindPlace) -> None:
    study = Study(Parts(sweep), place())
    assert [study.ask() is not None for _ in range(5)] == [True] * 4 + [False]


def test_a_result_that_comes_early_waits_for_its_turn(sweep: Sweep, place: FindPlace) -> None:
    study = Study(Parts(sweep), place())
    asked = [study.ask() for _ in range(4)]
    assert study.tell(1, complete(asked[1])) == []  # type: ignore[arg-type]
    assert study.tell(0, complete(asked[0])) == [0]  # type: ignore[arg-type]


def test_a_conditional_parameter_is_absent_where_it_does_not_exist(sweep: Sweep, place: FindPlace) -> None:
    run(Study(Parts(sweep), place()), lambda trials: 0)
    trials = [trial for _, trial in trials_in(sweep, place())]
    assert {("alpha" in trial.params) == (trial.params["method"] == "confidence") for trial in trials} == {True}


def test_pruned_and_failed_trials_are_told_as_what_they_are(sweep: Sweep, place: FindPlace) -> None:
    study = Study(Parts(sweep), place())
    for _ in range(4):
        study.ask()
    study.tell(0, Outcome("pruned", intermediate={10: 0.6, 20: 0.5}))
    study.tell(1, Outcome("failed", error="TrainingDiverged: step 3"))
    study.ask()
    study.ask()
    by_number = dict(trials_in(sweep, place()))
    assert by_number[0].state == TrialState.PRUNED
    assert by_number[0].intermediate_values == {10: 0.6, 20: 0.5}
    assert by_number[1].state == TrialState.FAIL
    assert by_number[1].user_attrs["error"] == "TrainingDiverged: step 3"


def test_a_larger_budget_extends_a_finished_search(sweep: Sweep, place: FindPlace) -> None:
    run(Study(Parts(sweep), place()), lambda trials: 0)
    before = proposals(sweep, place())
    run(Study(Parts(with_search(sweep, trials=24)), place()), lambda trials: 0)
    after = proposals(sweep, place())
    assert len(after) == 24
    assert after[:20] == before


def test_a_changed_space_begins_a_study_of_its_own_and_keeps_the_old_one(sweep: Sweep, place: FindPlace) -> None:
    run(Study(Parts(sweep), place()), lambda trials: 0)
    narrower = replace(sweep, space={**sweep.space, "lr": {"log_uniform": [1e-4, 1e-3]}})
    assert not Study(Parts(narrower), place()).finished
    assert Study(Parts(sweep), place()).finished


def test_the_median_pruner_stops_a_student_that_falls_behind_within_its_pairing(sweep: Sweep, place: FindPlace) -> None:
    sweep = with_search(sweep, pruner={"kind": "median", "startup_trials": 2})
    study = Study(Parts(sweep), place())
    for _ in range(8):
        experiment = study.ask()
        assert experiment is not None
        good = 0.8 if experiment.number % 2 == 0 else 0.6  # the second pairing is worse, which is no reason to prune
        study.tell(experiment.number, Outcome("complete", {"oracle": good, "weak": good}, {10: good}))
    assert study.ask() is not None
    assert study.ask() is not None
    assert study.report(8, 10, 0.7)
    assert not study.report(9, 10, 0.65)


def test_grid_search_visits_every_point_once(sweep: Sweep, place: FindPlace) -> None:
    sweep = Sweep.model_validate(
        {
            **sweep.model_dump(by_alias=True, exclude_none=True),
            "pairings": [{"weak": "minilm-0", "strong": "minilm-2"}],
            "methods": ["confidence"],
            "space": {"alpha": {"uniform": [0, 0.5], "points": 3}, "epochs": {"int": [1, 2]}},
            "search": {"trials": 6, "sampler": "grid", "parallelism": 1},
        }
    )
    run(Study(Parts(sweep), place()), lambda trials: 0)
    points = {tuple(sorted(trial.params.items())) for _, trial in trials_in(sweep, place())}
    assert len(points) == 6


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    return disk_of("256k")


def test_a_disk_that_is_full_for_a_while_neither_loses_nor_tears_a_trial(
    sweep: Sweep, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(Study(Parts(sweep), small_disk.parent / "whole.journal"), lambda open_trials: 0)
    study = Study(Parts(sweep), small_disk / "sweeps/small/study.journal")
    ballast = small_disk / "ballast"

    def fill_it_and_free_it_later(open_trials: list[Experiment]) -> int:
        if not ballast.exists():
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 256)
            Timer(0.5, ballast.write_bytes, [b""]).start()
        return 0

    run(study, fill_it_and_free_it_later)
    assert "is full" in caplog.text
    assert proposals(sweep, small_disk / "sweeps/small/study.journal") == proposals(
        sweep, small_disk.parent / "whole.journal"
    )


def test_a_disk_that_stays_full_is_said_after_the_patience_of_the_spec(sweep: Sweep, small_disk: Path) -> None:
    sweep = replace(sweep, resources=replace(sweep.resources, store_patience=0))
    study = Study(Parts(sweep), small_disk / "sweeps/small/study.journal")
    study.ask()
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 256)
    with pytest.raises(StoreUnavailableError, match=r"is full \(writing the study"):
        run(study, lambda open_trials: 0)
    (small_disk / "ballast").unlink()
    assert trials_in(sweep, small_disk / "sweeps/small/study.journal")


PRUNED_STEPS = (1, 2, 4, 8)


class Killed(Exception):  # noqa: N818 - it is no error
    """The driver died."""


def student_values(experiment: Experiment) -> dict[int, float]:
    """A student's curve: later is better, and some parameters are better than others from the first step on."""
    final = 0.9 - abs(experiment.params["lr"] - 3e-3) * 50 - 0.02 * experiment.params["epochs"]
    return {step: final - 0.3 / step for step in PRUNED_STEPS}


def race(study: Study, deaths: Callable[[], bool]) -> None:
    """Tries one student after another as a driver does, each from its first validation on; it may die anywhere."""
    while not study.finished:
        experiment = study.ask()
        assert experiment is not None
        heard: dict[int, float] = {}
        outcome: Outcome | None = None
        for step, value in student_values(experiment).items():
            heard[step] = value
            is_pruned = study.report(experiment.number, step, value)
            if deaths():
                raise Killed
            if is_pruned:
                outcome = Outcome("pruned", intermediate=heard)
                break
        outcome = outcome or Outcome("complete", {"oracle": heard[8], "weak": heard[8]}, heard)
        study.tell(experiment.number, outcome)
        if deaths():
            raise Killed


def raced(sweep: Sweep, place: Place) -> list[tuple[Any, ...]]:
    return [
        (number, trial.state, trial.params, trial.value, trial.intermediate_values)
        for number, trial in trials_in(sweep, place)
    ]


@pytest.mark.parametrize("kind", ["median", "successive-halving"])
@settings(max_examples=8, deadline=None)
@given(deaths=st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=6))
def test_a_search_killed_anywhere_prunes_the_same_students_at_the_same_steps(
    sweep: Sweep, tmp_path_factory: pytest.TempPathFactory, kind: str, deaths: list[int]
) -> None:
    """A student that is taken up again reports all its validations again, whatever the study knows of them."""
    sweep = replace(sweep, pairings=sweep.pairings[:1])
    sweep = with_search(sweep, parallelism=1, trials=14, sampler="random", pruner={"kind": kind, "startup_trials": 3})
    folder = tmp_path_factory.mktemp("kills")
    race(Study(Parts(sweep), folder / "alone" / "journal"), lambda: False)
    assert 3 < sum(row[1] == TrialState.PRUNED for row in raced(sweep, folder / "alone" / "journal")) < 12
    for death in deaths:
        left = iter(range(death, 0, -1))
        with suppress(Killed):
            race(Study(Parts(sweep), folder / "killed" / "journal"), lambda left=left: next(left) == 1)  # type: ignore[misc]
    race(Study(Parts(sweep), folder / "killed" / "journal"), lambda: False)
    assert raced(sweep, folder / "killed" / "journal") == raced(sweep, folder / "alone" / "journal")


def test_a_validation_that_is_reported_again_is_not_judged_again(sweep: Sweep, place: FindPlace) -> None:
    """Others have become better since; what only now is told of an earlier step is kept, and decides nothing."""
    sweep = replace(sweep, pairings=sweep.pairings[:1])
    sweep = with_search(sweep, pruner={"kind": "median", "startup_trials": 1})
    study = Study(Parts(sweep), place())
    for _ in range(4):
        assert study.ask() is not None
    for step in (2, 4):
        assert not study.report(3, step, 0.5)
    for number in range(3):
        study.tell(number, Outcome("complete", {"oracle": 0.9, "weak": 0.9}, dict.fromkeys(PRUNED_STEPS, 0.9)))
    assert study.ask() is not None  # the window is full, so the results enter the study
    study = Study(Parts(sweep), place())
    adopted = [study.ask(), study.ask()]
    assert [one.number for one in adopted if one] == [2, 3]
    assert [study.report(3, step, 0.5) for step in PRUNED_STEPS] == [False, False, False, True]
    assert dict(study.trials())[3].intermediate_values == dict.fromkeys(PRUNED_STEPS, 0.5)
