"""Whatever is asked, told in any order, killed, torn, cut off and extended: one study comes out, told in order."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.methods import Experiment, Parts
from w2s_ray.search.place import find_database
from w2s_ray.search.reading import FINISHED
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace

BUDGETS = (16, 20)  # the second extends a finished search
WIDTH = 4
STEPS = (5, 10)


def outcome(experiment: Experiment) -> Outcome:
    """How a trial ends depends on the trial alone: most complete, some are pruned, some fail."""
    params: dict[str, Any] = dict(experiment.params)
    value = float(0.7 + 0.1 * params.get("alpha", 0) - abs(params["lr"] - 3e-3) - 0.001 * params["epochs"])
    steps = {step: value - 1 / step for step in STEPS}
    if experiment.number % 7 == 5:
        return Outcome("pruned", intermediate={STEPS[0]: steps[STEPS[0]]})
    if experiment.number % 11 == 6:
        return Outcome("failed", intermediate=steps, error="TrainingDiverged: step 3")
    return Outcome("complete", {"oracle": value, "weak": 1 - value}, steps)


def described(trial: FrozenTrial) -> tuple[Any, ...]:
    """All of a finished trial but its times."""
    kept = ("method", "stages", "values", "error")
    attributes = {name: trial.user_attrs.get(name) for name in kept}
    return trial.state, trial.params, trial.value, trial.intermediate_values, attributes


def with_budget(sweep: Sweep, trials: int) -> Sweep:
    return replace(sweep, search=Search(trials=trials, parallelism=WIDTH))


def left_alone(sweep: Sweep, path: Path) -> list[tuple[Any, ...]]:
    """What the same searches find when nothing happens to them and trials end in order."""
    for budget in BUDGETS:
        study = Study(Parts(with_budget(sweep, budget)), path)
        running: list[Experiment] = []
        while not study.finished:
            while (experiment := study.ask()) is not None:
                running.append(experiment)
            ended = running.pop(0)
            study.tell(ended.number, outcome(ended))
    return [described(trial) for _, trial in study.trials()]


class StudyMachine(RuleBasedStateMachine):
    """One sweep and the drivers that come and go; what is set here is set by the test.

    Attributes:
        url: of the database that its study is in; None: it is in a journal.
    """

    url: str | None
    sweep: Sweep
    reference: list[tuple[Any, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.journal = self.folder / "study.journal"
        self.budgets = 1
        self.reopen()
        self.begun = len(self.journal.read_bytes()) if self.url is None else 0  # on the disk before its names are

    def reopen(self) -> None:
        place = find_database(self.folder, self.url) or self.journal
        self.study = Study(Parts(with_budget(self.sweep, BUDGETS[self.budgets - 1])), place)
        self.running: dict[int, Experiment] = {}
        self.ended: set[int] = set()
        self.told = self.count_told()

    def count_told(self) -> int:
        return sum(trial.state in FINISHED for _, trial in self.study.trials())

    @rule()
    def ask(self) -> None:
        experiment = self.study.ask()
        if experiment is None:
            return
        assert experiment.number not in self.running, "asked twice"
        assert experiment.number not in self.ended, "asked again after its end"
        self.running[experiment.number] = experiment
        self.told = self.count_told()  # what was told early may enter when the next trial is asked

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)), label="which trial ends")
        entered = self.study.tell(number, outcome(self.running.pop(number)))
        self.ended.add(number)
        assert entered == list(range(self.told, self.told + len(entered))), "told out of order"
        self.told += len(entered)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)), label="which trial reports")
        self.study.report(number, STEPS[0], outcome(self.running[number]).intermediate[STEPS[0]])

    @rule()
    def die(self) -> None:
        self.reopen()

    @precondition(lambda self: self.url is None)
    @rule(length=st.integers(1, 200))
    def die_while_writing(self, length: int) -> None:
        with self.journal.open("ab") as file:
            file.write((self.journal.read_bytes().splitlines()[-1] * 2)[: min(length, 40)])
        self.reopen()

    @precondition(lambda self: self.url is None and self.budgets == 1)
    @rule(lost=st.integers(1, 3000))
    def lose_the_newest_bytes(self, lost: int) -> None:
        """As a power cut may; also leaves trials half asked and half told."""
        whole = self.journal.read_bytes()
        self.journal.write_bytes(whole[: max(self.begun, len(whole) - lost)])
        self.reopen()

    @precondition(lambda self: self.study.finished and self.budgets < len(BUDGETS))
    @rule()
    def extend(self) -> None:
        self.budgets += 1
        self.reopen()

    @invariant()
    def no_trial_is_lost_or_counted_twice(self) -> None:
        trials = self.study.trials()
        assert [number for number, _ in trials] == list(range(len(trials)))
        assert self.study.left == self.study.budget - self.count_told()
        assert sum(trial.state == TrialState.RUNNING for _, trial in trials) <= WIDTH

    @invariant()
    def what_is_told_is_what_an_untouched_search_was_told(self) -> None:
        states = [trial.state in FINISHED for _, trial in self.study.trials()]
        assert states == sorted(states, reverse=True), "a trial was told before an earlier one"
        told = [described(trial) for _, trial in self.study.trials() if trial.state in FINISHED]
        assert told == self.reference[: len(told)]

    def teardown(self) -> None:
        try:
            while not self.study.finished or self.budgets < len(BUDGETS):
                if self.study.finished:
                    self.extend()
                while (experiment := self.study.ask()) is not None:
                    self.running[experiment.number] = experiment
                number, ended = self.running.popitem()
                self.study.tell(number, outcome(ended))
            assert [described(trial) for _, trial in self.study.trials()] == self.reference
        finally:
            shutil.rmtree(self.folder)


@pytest.mark.parametrize(
    ("kind", "lives"),
    [
        ("journal", 15),
        pytest.param("sqlite", 2, marks=pytest.mark.slow),
        pytest.param("postgres", 2, marks=pytest.mark.slow),
    ],
)
def test_a_study_survives_any_life_of_its_drivers(
    sweep: Sweep, kind: str, lives: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    class Machine(StudyMachine):
        pass

    names = {"sqlite": "sqlite_url", "postgres": "shared_database"}
    Machine.url = request.getfixturevalue(names[kind]) if kind in names else None
    sweep = replace(sweep, pairings=sweep.pairings[:1])  # every result is then heard by the next proposals
    Machine.sweep, Machine.reference = sweep, left_alone(sweep, tmp_path / "alone" / "journal")
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=lives, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_a_trial_left_half_asked_is_proposed_without_what_was_told_since(sweep: Sweep, tmp_path: Path) -> None:
    """A driver died in the middle of asking for trial 14; the next hears of trial 11 before it goes on with 14."""
    sweep = replace(sweep, pairings=sweep.pairings[:1])
    reference = left_alone(sweep, tmp_path / "alone" / "journal")
    path, parts = tmp_path / "journal", Parts(with_budget(sweep, BUDGETS[0]))
    study = Study(parts, path)
    for number in range(14):
        if number >= WIDTH:
            study.tell(number - WIDTH, outcome(study.experiment(number - WIDTH)))
        study.ask()
    study.tell(10, outcome(study.experiment(10)))
    begun = len(path.read_bytes().splitlines())
    study.ask()
    whole = path.read_bytes().splitlines(keepends=True)
    for lines in range(begun + 1, len(whole)):
        path.write_bytes(b"".join(whole[:lines]))
        study = Study(parts, path)
        adopted = [study.ask() for _ in range(3)]
        assert [one.number for one in adopted if one] == [11, 12, 13]
        study.tell(11, outcome(study.experiment(11)))
        last = study.ask()
        assert last is not None
        assert last.number == 14
        assert study.trials()[14][1].params == reference[14][1], f"after {lines - begun} of its lines"
