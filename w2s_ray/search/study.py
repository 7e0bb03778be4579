"""The study: every trial of a sweep in one Optuna journal or database, written by the driver alone.

Students are compared within a pairing, so each pairing is an Optuna study of its own: pruner and sampler see comparable
values. Trials go round the pairings in turn: trial n is number n // P of pairing n % P, for P pairings. The first
trials of a pairing are the plain defaults of each method.

**The order of results is part of the search.** With parallelism W, trial n is proposed when exactly the results of
trials 0 to n - W are in the study: a result that comes early waits. So the proposals depend on the spec and the seeds,
never on which machine was faster; and a trial that was open when its driver died is simply taken up again, with its
number and parameters.

A changed spec begins new Optuna studies (`naming`), seeded with the compatible trials of the old ones (`seeding`).
"""

import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.search.confirmation import Confirmation, confirmations_in
from w2s_ray.search.durable import DurableStudies
from w2s_ray.search.history import give_history
from w2s_ray.search.journal import LAST_ASKED, PRUNED_AT
from w2s_ray.search.naming import comparable_prefix, save_names, study_names
from w2s_ray.search.place import Place, folder_of
from w2s_ray.search.reading import FINISHED, comparable_studies, experiment_of, numbered
from w2s_ray.search.samplers import pruner_for, sampler_for, suggest_all
from w2s_ray.search.seeding import Proposal, seeds_for
from w2s_ray.search.storage import OpenStudies, open_to_read, writing_errors
from w2s_ray.spec import Pairing, yaml

_SEEDS = "seeds"
EARLY = "early"  # attribute of an open trial: the outcome whose turn has not come


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: `complete`, `pruned` or `failed`.
        values: objective by whose labels, once complete.
        intermediate: optimizer step to validation accuracy.
        error: why it failed.
        traceback: where, in the process that failed; None if it died or did not fail.
    """

    state: str
    values: Mapping[str, float] = field(default_factory=dict)
    intermediate: Mapping[int, float] = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None


class Study:
    """Asks and tells in the order that makes a search reproducible.

    Attributes:
        names: of its Optuna studies.
        history: name of the sweep's history; see `history`.

    Args:
        parts: of the sweep that is searched.
        place: of the study; made if missing.
        warm_start: place and name of another sweep whose compatible trials seed a new study.
        be_sure: raises StoreUnavailableError unless it is sure that no other driver has the sweep.

    Raises:
        StoreUnavailableError: the database cannot be used.
        StudyDamagedError, ValueError: what is there cannot be read, or is not the sweep's.
    """

    def __init__(
        self,
        parts: Parts,
        place: Place,
        warm_start: tuple[Place, str] | None = None,
        be_sure: Callable[[], None] = lambda: None,
    ) -> None:
        self.sweep, self._parts = parts.sweep, parts
        self.is_new, self.seeded, self.left_aside = False, 0, 0
        self.names, search = study_names(parts), parts.sweep.search
        other = (open_to_read(warm_start[0]), warm_start[1]) if warm_start else None  # may refuse: before any write
        patience = parts.sweep.resources.store_patience
        self._kept = DurableStudies(place, partial(pruner_for, search.pruner), patience, be_sure)
        with writing_errors(place):
            be_sure()
            with self._kept.opened.together():
                for name, pairing in zip(self.names, parts.sweep.pairings, strict=True):
                    self._open_study(name, pairing, other)
                self.history = give_history(self._kept.opened, self._kept.studies)
            self._seeds: list[list[Proposal]] = [study.user_attrs[_SEEDS] for study in self._kept.studies]
            self._asked, self._told = self._counts()
            self._adopted = [number for number in range(self._told, self._asked) if not self._is_told(number)]
        save_names(folder_of(place), self.names, yaml.dump(self.sweep).encode())
        self._outcomes: dict[int, Outcome] = {}

    @property
    def budget(self) -> int:
        """Trials that shall have finished."""
        return self.sweep.search.trials

    @property
    def left(self) -> int:
        """Trials whose results are missing."""
        return max(0, self.budget - self._told)

    @property
    def finished(self) -> bool:
        """Whether every trial of the budget has its result in the study."""
        return self._told >= self.budget

    @property
    def has_more(self) -> bool:
        """Whether a trial could be asked for, now or once results are told."""
        return bool(self._adopted) or self._asked < self.budget

    @property
    def started(self) -> float | None:
        """When the first trial was asked for, in seconds since the epoch; None if none ever was."""
        first = self._kept.patiently(lambda: self._frozen(0).datetime_start if self._asked else None)
        return first.timestamp() if first else None

    def ask(self) -> Experiment | None:
        """Returns the next trial: one left open by a dead driver, or a new one; None while results are awaited."""
        width = self.sweep.search.parallelism
        if not self._adopted and (self._asked >= self.budget or self._asked - self._told >= width):
            return None
        number = self._adopted[0] if self._adopted else self._asked
        asked = max(self._asked, number + 1)
        experiment, told = self._kept.durably(lambda: (self._experiment(number), self._flush(asked)))
        del self._adopted[:1]
        self._asked = asked
        self._settle(told)
        return experiment

    def tell(self, number: int, outcome: Outcome) -> list[int]:
        """Takes a trial's result; returns the trials whose results thereby entered the study, in order."""
        self._outcomes[number] = outcome
        told = self._kept.durably(lambda: self._flush(self._asked))
        self._settle(told)
        return told

    def show_early(self) -> None:
        """Writes results whose turn has not come beside their trials: readers see them, and the search does not.

        For a search that ends before its budget of trials; a later driver takes these trials up like any open one.
        """

        def write() -> None:
            for number, outcome in self._outcomes.items():
                self._open_trial(number).set_user_attr(EARLY, {**asdict(outcome), "time": time.time()})

        self._kept.durably(write)

    def experiment(self, number: int) -> Experiment:
        """Returns what an asked trial tries."""
        return experiment_of(self.sweep, number, self._kept.patiently(lambda: self._frozen(number)))

    def report(self, number: int, step: int, value: float) -> bool:
        """Writes an intermediate value; returns whether the trial should be pruned.

        A trial that is taken up again reports again. What its values meant was decided when they first came, and it
        ends where it would have, whatever became of the other trials since.
        """

        def write() -> bool:
            trial, there = self._open_trial(number), self._frozen(number)
            known, ends_at = there.intermediate_values, there.user_attrs.get(PRUNED_AT)
            if there.state not in FINISHED and step not in known:
                # Decided and kept before the value is: a driver may die in between, and what is known is decided.
                if ends_at is None and step > max(known, default=-1) and self._falls_behind(number, step, value):
                    ends_at = step
                    trial.set_user_attr(PRUNED_AT, step)
                trial.report(value, step)
            return ends_at is not None and (step >= ends_at or ends_at in known)

        return self._kept.durably(write)

    def trials(self) -> list[tuple[int, FrozenTrial]]:
        """Returns number and Optuna trial of every trial, by number; any thread may ask."""
        return self._kept.patiently(lambda: numbered(self._kept.studies))

    def confirm(self, number: int, made: Confirmation) -> None:
        """Keeps a trial's confirmation, with its Optuna study: a trial that has ended takes nothing more."""
        self._kept.durably(lambda: self._study(number).set_user_attr(*made.attribute(number)))

    def confirmations(self) -> dict[int, Confirmation]:
        """Returns the confirmations by the trials' numbers; any thread may ask."""
        return self._kept.patiently(lambda: confirmations_in(*(study.user_attrs for study in self._kept.studies)))

    # The order of results. What is remembered of it changes once what was written is durable.

    def _flush(self, asked: int) -> list[int]:
        """Writes the results whose turn has come: when the window is full, or when nothing more will be asked.

        Args:
            asked: how many trials were asked for.
        """
        told = self._told
        while told in self._outcomes and (asked >= self.budget or asked - told >= self.sweep.search.parallelism):
            self._write(told, self._outcomes[told])
            told += 1
        return list(range(self._told, told))

    def _settle(self, told: list[int]) -> None:
        for number in told:
            del self._outcomes[number]
        self._told += len(told)

    def _counts(self) -> tuple[int, int]:
        states = {number: trial.state for number, trial in numbered(self._kept.studies)}
        asked = len(states)
        told = next((number for number in range(asked) if states[number] not in FINISHED), asked)
        return asked, told

    def _is_told(self, number: int) -> bool:
        return self._frozen(number).state in FINISHED

    # Optuna's side.

    def _open_study(self, name: str, pairing: Pairing, warm_start: tuple[OpenStudies | None, str] | None) -> None:
        study = self._kept.load_or_make(name)
        if _SEEDS not in study.user_attrs:
            older = comparable_studies(self._kept.opened, comparable_prefix(self._parts, pairing), name)
            if warm_start is not None:
                other, other_name = warm_start
                prefix = comparable_prefix(self._parts, pairing, other_name)
                older += comparable_studies(other, prefix, name) if other else []
            seeds = seeds_for(self._parts, pairing, older)
            study.set_user_attr(_SEEDS, list(seeds.proposals))
            self.is_new = True
            self.seeded += len(seeds.proposals)
            self.left_aside += seeds.left_aside + self._incomparable(pairing, older, name)

    def _incomparable(self, pairing: Pairing, comparable: list[optuna.Study], name: str) -> int:
        """Returns how many trials of the pairing are finished whose task, baselines, seeds or objective were others."""
        known = {study.study_name for study in comparable}
        of_pairing = comparable_studies(self._kept.opened, f"{self.sweep.name}/{pairing.name}", name)
        others = [study for study in of_pairing if study.study_name not in known]
        return sum(len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) for study in others)

    @cached_property
    def _methods(self) -> tuple[str, ...]:
        return tuple(self.sweep.methods)

    def _pairing(self, number: int) -> Pairing:
        return self.sweep.pairings[number % len(self.sweep.pairings)]

    def _study(self, number: int) -> optuna.Study:
        return self._kept.studies[number % len(self.sweep.pairings)]

    def _trial_id(self, number: int) -> int | None:
        """Returns the storage's name of a trial, None if there is none; a list of all trials would cost O(n)."""
        study, local = self._study(number), number // len(self.sweep.pairings)
        try:
            return self._kept.opened.storage.get_trial_id_from_study_id_trial_number(study._study_id, local)
        except KeyError:
            return None

    def _frozen(self, number: int) -> FrozenTrial:
        return self._kept.opened.storage.get_trial(self._known_id(number))

    def _known_id(self, number: int) -> int:
        trial_id = self._trial_id(number)
        assert trial_id is not None, f"trial {number} was never asked"
        return trial_id

    def _open_trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study(number), self._known_id(number))

    def _falls_behind(self, number: int, step: int, value: float) -> bool:
        """Asks the pruner about a trial with one more value, which is not in the study yet."""
        study, trial = self._study(number), copy.copy(self._frozen(number))
        trial.intermediate_values = {**trial.intermediate_values, step: value}
        return bool(study.pruner.prune(study, trial))

    def _experiment(self, number: int) -> Experiment:
        """Asks Optuna for trial `number`, or takes it up where it was left: asked and not told."""
        study = self._study(number)
        study.sampler = sampler_for(self.sweep.search, number, startup=len(self._methods) + 2)
        proposal = self._fixed_proposal(number)
        if self._trial_id(number) is None and proposal is not None:
            study.enqueue_trial(proposal)
        is_new = self._trial_id(number) is None or self._frozen(number).state == TrialState.WAITING
        trial = study.ask() if is_new else self._open_trial(number)
        suggest_all(trial, self.sweep, self._pairing(number))
        experiment = experiment_of(self.sweep, number, self._frozen(number))
        stages = {
            role: [one.address for one in of_role] for role, of_role in stages_of(self._parts, experiment).items()
        }
        trial.set_user_attr("method", experiment.method)
        trial.set_user_attr(LAST_ASKED, json.dumps(stages))
        return experiment

    def _fixed_proposal(self, number: int) -> Proposal | None:
        """Returns what a pairing's first trials try: each method's defaults, then what older studies found."""
        local = number // len(self.sweep.pairings)
        if local < len(self._methods):
            return self._default_proposal(number)
        seeds, place = self._seeds[number % len(self.sweep.pairings)], local - len(self._methods)
        return seeds[place] if place < len(seeds) else None

    def _default_proposal(self, number: int) -> Proposal:
        method, pairing = self._methods[number // len(self.sweep.pairings)], self._pairing(number)
        params = default_params(self.sweep, pairing, method)
        varying = {name: value for name, value in params.items() if name in self.sweep.space and self._varies(name)}
        return {"method": method, **varying}

    def _varies(self, name: str) -> bool:
        return self.sweep.space[name].varies

    def _write(self, number: int, outcome: Outcome) -> None:
        trial, there = self._open_trial(number), self._frozen(number)
        if there.state in FINISHED:
            return
        for step, value in sorted(outcome.intermediate.items()):
            if step not in there.intermediate_values:
                trial.report(value, step)
        trial.set_user_attr("values", dict(outcome.values))
        if outcome.error is not None:
            trial.set_user_attr("error", outcome.error)
        if outcome.traceback is not None:
            trial.set_user_attr("traceback", outcome.traceback)
        study, objective = self._study(number), self.sweep.objective.labels
        # Optuna asks the sampler's opinion of a result; grid search's is to stop an optimize loop that is not there.
        study.sampler = RandomSampler()
        if outcome.state == "complete":
            study.tell(trial, outcome.values[objective])
        else:
            study.tell(trial, state=TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL)
