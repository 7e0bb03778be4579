"""The study: every trial of a sweep in one Optuna journal, written by the driver alone.

Students are compared within a pairing, so each pairing is an Optuna study of its own: pruner and sampler see comparable
values. Trials go round the pairings in turn: trial n is number n // P of pairing n % P, for P pairings. The first
trials of a pairing are the plain defaults of each method.

**The order of results is part of the search.** With parallelism W, trial n is proposed when exactly the results of
trials 0 to n - W are in the study: a result that comes early waits. So the proposals depend on the spec and the seeds,
never on which machine was faster; and a trial that was open when its driver died is simply taken up again, with its
number and parameters.

A changed spec begins new Optuna studies (`naming`), seeded with the compatible trials of the old ones (`seeding`).
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.search.confirmation import Confirmation, confirmations_in
from w2s_ray.search.journal import LAST_ASKED, mend_journal, open_journal
from w2s_ray.search.naming import comparable_prefix, save_names, study_names
from w2s_ray.search.samplers import pruner_for, sampler_for
from w2s_ray.search.seeding import Proposal, seeds_for
from w2s_ray.spec import Dimension, Pairing, Sweep
from w2s_ray.stages.errors import StoreUnavailableError, store_errors

_log = logging.getLogger("w2s_ray.search")
_Written = TypeVar("_Written")
_PAUSE_SECONDS = 2.0
_SEEDS = "seeds"
EARLY = "early"  # attribute of an open trial: the outcome whose turn has not come
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


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

    Args:
        parts: of the sweep that is searched.
        path: of the journal; made if missing.
        warm_start: journal and name of another sweep whose compatible trials seed a new study.
    """

    def __init__(self, parts: Parts, path: Path, warm_start: tuple[Path, str] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mend_journal(path)
        self.sweep, self._parts, self._path = parts.sweep, parts, path
        self.is_new, self.seeded, self.left_aside = False, 0, 0
        self._storage, self._file = open_journal(path)
        self._broken = False
        names = study_names(parts)
        self._studies = [
            self._open_study(name, pairing, warm_start)
            for name, pairing in zip(names, parts.sweep.pairings, strict=True)
        ]
        self._seeds: list[list[Proposal]] = [study.user_attrs[_SEEDS] for study in self._studies]
        save_names(path.parent, names)
        self._asked, self._told = self._counts()
        self._adopted = [number for number in range(self._told, self._asked) if not self._is_told(number)]
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
        first = self._frozen(0).datetime_start if self._asked else None
        return first.timestamp() if first else None

    def ask(self) -> Experiment | None:
        """Returns the next trial: one left open by a dead driver, or a new one; None while results are awaited."""
        width = self.sweep.search.parallelism
        if not self._adopted and (self._asked >= self.budget or self._asked - self._told >= width):
            return None
        return self._durably(partial(self._ask, self._adopted[0] if self._adopted else self._asked))

    def tell(self, number: int, outcome: Outcome) -> list[int]:
        """Takes a trial's result; returns the trials whose results thereby entered the study, in order."""
        self._outcomes[number] = outcome
        return self._durably(self._flush)

    def show_early(self) -> None:
        """Writes results whose turn has not come beside their trials: readers see them, and the search does not.

        For a search that ends before its budget of trials; a later driver takes these trials up like any open one.
        """

        def write() -> None:
            for number, outcome in self._outcomes.items():
                self._open_trial(number).set_user_attr(EARLY, {**asdict(outcome), "time": time.time()})

        self._durably(write)

    def experiment(self, number: int) -> Experiment:
        """Returns what an asked trial tries."""
        return experiment_of(self.sweep, number, self._frozen(number))

    def report(self, number: int, step: int, value: float) -> bool:
        """Writes an intermediate value; returns whether the trial should be pruned."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._durably(lambda: self._open_trial(number).report(value, step))
        return self._open_trial(number).should_prune()

    def trials(self) -> list[tuple[int, FrozenTrial]]:
        """Returns number and Optuna trial of every trial, by number; any thread may ask."""
        return numbered(self._studies)

    def confirm(self, number: int, made: Confirmation) -> None:
        """Keeps a trial's confirmation, with its Optuna study: a trial that has ended takes nothing more."""
        self._durably(lambda: self._study(number).set_user_attr(*made.attribute(number)))

    def confirmations(self) -> dict[int, Confirmation]:
        """Returns the confirmations by the trials' numbers; any thread may ask."""
        return confirmations_in(*(study.user_attrs for study in self._studies))

    # The order of results.

    def _ask(self, number: int) -> Experiment:
        experiment = self._experiment(number)
        if number in self._adopted:
            self._adopted.remove(number)
        self._asked = max(self._asked, number + 1)
        self._flush()
        return experiment

    def _flush(self) -> list[int]:
        """Writes the results whose turn has come: when the window is full, or when nothing more will be asked."""
        told: list[int] = []
        while self._told in self._outcomes and self._is_turn():
            self._write(self._told, self._outcomes[self._told])
            del self._outcomes[self._told]
            told.append(self._told)
            self._told += 1
        return told

    def _durably(self, write: Callable[[], _Written]) -> _Written:
        """Returns what `write` returns, once it is on the disk; it may be called again after it wrote a part.

        While the journal's disk is full or gone, waits and tries again.

        Raises:
            StoreUnavailableError: it lasted longer than the sweep's `store_patience`.
        """
        deadline = time.monotonic() + self.sweep.resources.store_patience
        while True:
            try:
                with store_errors(self._path.parents[2], "writing the study"):
                    if self._broken:
                        self._reopen()
                    with self._file.together():
                        return write()
            except StoreUnavailableError as error:
                self._broken = True
                if time.monotonic() >= deadline:
                    raise
                _log.warning("%s Waiting for it.", error)
                time.sleep(_PAUSE_SECONDS)

    def _reopen(self) -> None:
        """Forgets what a failed write left half done, on the disk and in memory."""
        mend_journal(self._path)
        self._storage, self._file = open_journal(self._path)
        names = [study.study_name for study in self._studies]
        pruner = pruner_for(self.sweep.search.pruner)
        self._studies = [optuna.load_study(study_name=name, storage=self._storage, pruner=pruner) for name in names]
        self._broken = False

    def _is_turn(self) -> bool:
        return self._asked >= self.budget or self._asked - self._told >= self.sweep.search.parallelism

    def _counts(self) -> tuple[int, int]:
        states = {number: trial.state for number, trial in numbered(self._studies)}
        asked = len(states)
        told = next((number for number in range(asked) if states[number] not in FINISHED), asked)
        return asked, told

    def _is_told(self, number: int) -> bool:
        return self._frozen(number).state in FINISHED

    # Optuna's side.

    def _open_study(self, name: str, pairing: Pairing, warm_start: tuple[Path, str] | None) -> optuna.Study:
        study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            direction="maximize",
            pruner=pruner_for(self.sweep.search.pruner),
            load_if_exists=True,
        )
        if _SEEDS not in study.user_attrs:
            older = _comparable_studies(self._storage, comparable_prefix(self._parts, pairing), name)
            if warm_start is not None:
                other, other_name = warm_start
                prefix = comparable_prefix(self._parts, pairing, other_name)
                older += _comparable_studies(open_journal(other)[0], prefix, name)
            seeds = seeds_for(self._parts, pairing, older)
            study.set_user_attr(_SEEDS, list(seeds.proposals))
            self.is_new = True
            self.seeded += len(seeds.proposals)
            self.left_aside += seeds.left_aside
        return study

    @cached_property
    def _methods(self) -> tuple[str, ...]:
        return tuple(self.sweep.methods)

    def _pairing(self, number: int) -> Pairing:
        return self.sweep.pairings[number % len(self._studies)]

    def _study(self, number: int) -> optuna.Study:
        return self._studies[number % len(self._studies)]

    def _trial_id(self, number: int) -> int | None:
        """Returns the storage's name of a trial, None if there is none; a list of all trials would cost O(n)."""
        study, local = self._study(number), number // len(self._studies)
        try:
            return self._storage.get_trial_id_from_study_id_trial_number(study._study_id, local)
        except KeyError:
            return None

    def _frozen(self, number: int) -> FrozenTrial:
        trial_id = self._trial_id(number)
        assert trial_id is not None, f"trial {number} was never asked"
        return self._storage.get_trial(trial_id)

    def _open_trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study(number), self._frozen(number)._trial_id)

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
        experiment = self.experiment(number)
        stages = {
            role: [one.address for one in of_role] for role, of_role in stages_of(self._parts, experiment).items()
        }
        trial.set_user_attr("method", experiment.method)
        trial.set_user_attr(LAST_ASKED, json.dumps(stages))
        return experiment

    def _fixed_proposal(self, number: int) -> Proposal | None:
        """Returns what a pairing's first trials try: each method's defaults, then what older studies found."""
        local = number // len(self._studies)
        if local < len(self._methods):
            return self._default_proposal(number)
        seeds, place = self._seeds[number % len(self._studies)], local - len(self._methods)
        return seeds[place] if place < len(seeds) else None

    def _default_proposal(self, number: int) -> Proposal:
        method, pairing = self._methods[number // len(self._studies)], self._pairing(number)
        params = default_params(self.sweep, pairing, method)
        varying = {name: value for name, value in params.items() if name in self.sweep.space and self._varies(name)}
        return {"method": method, **varying}

    def _varies(self, name: str) -> bool:
        return self.sweep.space[name].varies

    def _write(self, number: int, outcome: Outcome) -> None:
        trial, there = self._open_trial(number), self._frozen(number).intermediate_values
        for step, value in sorted(outcome.intermediate.items()):
            if step not in there:
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


def suggest_all(trial: optuna.Trial, sweep: Sweep, pairing: Pairing) -> None:
    """Asks Optuna for a method and for every varying dimension that exists for it."""
    methods = tuple(sweep.methods)
    method = methods[0]
    if len(methods) > 1:
        method = trial.suggest_categorical("method", methods)
    for name, dimension in sweep.space.items():
        if dimension.varies and dimension.exists(name, method, pairing.name):
            suggest(trial, name, dimension)


def suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> None:
    """Asks Optuna for one varying dimension."""
    if dimension.choice is not None:
        trial.suggest_categorical(name, dimension.choice)
    elif dimension.int_ is not None:
        trial.suggest_int(name, *dimension.int_, log=dimension.log)
    elif dimension.log_uniform is not None:
        trial.suggest_float(name, *dimension.log_uniform, log=True)
    elif dimension.uniform is not None:
        low, high = dimension.uniform
        step = (high - low) / (dimension.points - 1) if dimension.points else None
        trial.suggest_float(name, low, high, step=step)


def read_trials(path: Path, names: Sequence[str]) -> list[tuple[int, FrozenTrial]]:
    """Returns number and Optuna trial of every trial in the studies `names`, by number, and writes nothing."""
    return numbered(read_studies(path, names))


def read_studies(path: Path, names: Sequence[str]) -> list[optuna.Study]:
    """Returns the Optuna studies `names`, and writes nothing; none unless all of them are there."""
    if not path.exists() or not names:
        return []
    storage, _ = open_journal(path)
    known = {study.study_name for study in storage.get_all_studies()}
    if not known.issuperset(names):
        return []
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def experiment_of(sweep: Sweep, number: int, trial: FrozenTrial) -> Experiment:
    """Returns what a trial tries, from its parameters in the study."""
    methods, pairing = tuple(sweep.methods), sweep.pairings[number % len(sweep.pairings)]
    method = str(trial.params.get("method", methods[0]))
    params = dict(sweep.settings_of(method))
    for name, dimension in sweep.space.items():
        if not dimension.exists(name, method, pairing.name):
            continue
        if dimension.constant is not None:
            params[name] = dimension.constant
        elif name in trial.params:  # a reader may come while the driver is still asking
            params[name] = trial.params[name]
    default = number // len(sweep.pairings) < len(methods)
    return Experiment(number, pairing.name, method, params, default)


def _comparable_studies(storage: JournalStorage, prefix: str, but: str) -> list[optuna.Study]:
    names = [study.study_name for study in storage.get_all_studies()]
    older = [name for name in names if name.startswith(f"{prefix}/") and name != but]
    return [optuna.load_study(study_name=name, storage=storage) for name in reversed(older)]


def numbered(studies: Sequence[optuna.Study]) -> list[tuple[int, FrozenTrial]]:
    """Returns number and Optuna trial of every trial that was asked, by number; the studies are those of a sweep."""
    found = [
        (trial.number * len(studies) + index, trial)
        for index, study in enumerate(studies)
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.WAITING
    ]
    return sorted(found, key=lambda pair: pair[0])
