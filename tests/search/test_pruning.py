"""A pruner decides the same whenever its search is interrupted, and wherever its study is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from optuna.trial import TrialState

from w2s_ray.methods import Experiment, Parts
from w2s_ray.search.journal import mend_journal
from w2s_ray.search.naming import study_names
from w2s_ray.search.place import Place
from w2s_ray.search.reading import read_trials
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Pruner, Search, Sweep, replace

PRUNERS = [kind for kind in get_args(Pruner.model_fields["kind"].annotation) if kind != "none"]
Interrupt = Callable[[], bool]


def curve_of(experiment: Experiment) -> dict[int, float]:
    """A student's validations: better than the last one's or worse, and the more of them the more epochs it has."""
    params: dict[str, Any] = dict(experiment.params)
    best = 0.5 + (experiment.number * 37 % 19) / 40
    return {step: best - 0.3 / step for step in range(2, 2 * params["epochs"] + 1, 2)}


class Race:
    """A driver without Ray: open students validate in turn, and what was seen of one is said again after a resume."""

    def __init__(self, sweep: Sweep, place: Place) -> None:
        self._sweep, self._place = sweep, place
        self._seen: dict[int, int] = {}  # validations that were made, which checkpoints hold

    def run(self, interrupted: Interrupt = lambda: False) -> None:
        """Runs the search to its end; where `interrupted` says so, after any of its acts, another driver goes on."""
        while not self._goes_on_to_the_end(interrupted):
            pass

    def _goes_on_to_the_end(self, interrupted: Interrupt) -> bool:
        study = Study(Parts(self._sweep), self._place)
        running: dict[int, Experiment] = {}
        while not study.finished:
            while (asked := study.ask()) is not None:
                running[asked.number] = asked
                self._tell(study, running, asked, self._seen.setdefault(asked.number, 0))
            if not running:
                continue
            number = min(running, key=lambda one: (self._seen[one], one))
            self._seen[number] += 1
            if interrupted():
                return False
            self._tell(study, running, running[number], self._seen[number])
            if interrupted():
                return False
        return True

    def _tell(self, study: Study, running: dict[int, Experiment], experiment: Experiment, seen: int) -> None:
        number, curve = experiment.number, curve_of(experiment)
        said: dict[int, float] = {}
        for step in list(curve)[:seen]:
            said[step] = curve[step]
            if study.report(number, step, curve[step]):
                study.tell(number, Outcome("pruned", intermediate=said))
                del running[number]
                return
        if seen > len(curve):
            last = list(curve.values())[-1]
            study.tell(number, Outcome("complete", {"oracle": last, "weak": last}, curve))
            del running[number]


def ends(sweep: Sweep, place: Place) -> list[tuple[Any, ...]]:
    trials = read_trials(place, study_names(Parts(sweep)))
    return [(number, trial.state, trial.value, trial.intermediate_values, trial.params) for number, trial in trials]


def with_pruner(sweep: Sweep, kind: str, **changes: Any) -> Sweep:
    pruner = Pruner.model_validate({"kind": kind, "startup_trials": 2, "warmup_steps": 1})
    search = Search(trials=12, parallelism=1, sampler="random", pruner=pruner)
    return replace(sweep, pairings=sweep.pairings[:1], search=replace(search, **changes))


@pytest.mark.parametrize(("sampler", "parallelism"), [("random", 1), ("random", 3), ("tpe", 3)])
@pytest.mark.parametrize("kind", PRUNERS)
def test_a_search_interrupted_after_every_act_proposes_and_prunes_what_it_would_have(
    sweep: Sweep, kind: str, sampler: str, parallelism: int, tmp_path: Path
) -> None:
    """Hyperband shows TPE the trials of one bracket alone, so it has to know the brackets before it judges."""
    sweep = with_pruner(sweep, kind, sampler=sampler, parallelism=parallelism, trials=16 if sampler == "tpe" else 12)
    Race(sweep, tmp_path / "alone" / "journal").run()
    alone = ends(sweep, tmp_path / "alone" / "journal")
    assert {state for _, state, *_ in alone} == {TrialState.COMPLETE, TrialState.PRUNED}
    Race(sweep, tmp_path / "interrupted" / "journal").run(lambda: True)
    assert ends(sweep, tmp_path / "interrupted" / "journal") == alone


@pytest.mark.parametrize("kind", PRUNERS)
def test_a_driver_that_dies_in_the_middle_of_a_decision_leaves_none(sweep: Sweep, kind: str, tmp_path: Path) -> None:
    """The journal is cut after each line of the act in which a student is pruned; who goes on prunes it there too."""
    sweep = with_pruner(sweep, kind)
    path = tmp_path / "alone" / "journal"
    Race(sweep, path).run()
    alone, whole = ends(sweep, path), path.read_bytes().splitlines(keepends=True)
    pruned = next(number for number, state, *_ in alone if state is TrialState.PRUNED)
    told = sum(one[1].is_finished() for one in alone[:pruned])
    first, last = _lines_of(whole, told)
    for cut in range(first, last):
        journal = tmp_path / str(cut) / "journal"
        journal.parent.mkdir()
        journal.write_bytes(b"".join(whole[:cut]))
        mend_journal(journal)
        race = Race(sweep, journal)
        race._seen = {number: len(steps) for number, *_, steps in alone[: pruned + 1]}
        race.run()
        assert ends(sweep, journal) == alone, f"after line {cut} of {first} to {last}"


def _lines_of(whole: list[bytes], told: int) -> tuple[int, int]:
    """Returns where the writing about the trial that is told after `told` others begins and ends."""
    finished = [place for place, line in enumerate(whole) if b'"op_code":6' in line and b'"state":0' not in line]
    return finished[told - 1] + 1, finished[told] + 1


@pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)
def test_hyperband_gives_a_trial_the_same_bracket_in_a_database(
    sweep: Sweep, new_place: Callable[[str], Place], tmp_path: Path
) -> None:
    sweep = with_pruner(sweep, "hyperband")
    Race(sweep, tmp_path / "alone" / "journal").run()
    Race(sweep, new_place("small")).run()
    assert ends(sweep, new_place("small")) == ends(sweep, tmp_path / "alone" / "journal")
