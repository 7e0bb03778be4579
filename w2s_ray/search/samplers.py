"""Optuna's samplers and pruners by the names a sweep uses, and a sweep's space as what they are asked for."""

import hashlib
import heapq
import warnings
from collections.abc import Container
from functools import cached_property
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.spec import Dimension, Pairing, Pruner, Search, Sweep

MOST_MODELLED = 500
_BEST = 25  # TPE's model of good trials holds no more of them, however many there are


def sampler_for(search: Search, trial: int, startup: int) -> BaseSampler:
    """Returns a fresh sampler whose randomness depends on the search's seed and the trial's number alone.

    No sampler state outlives a trial, so an interrupted search proposes what an uninterrupted one would have.
    """
    seed = int.from_bytes(hashlib.sha256(f"{search.seed}/{trial}".encode()).digest()[:4], "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if search.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if search.sampler == "grid":
            return optuna.samplers.BruteForceSampler(seed=seed)
        if search.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=True)
        if search.sampler == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        if search.sampler == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, startup))
        tpe = TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True)
        return _OfTheNewest(tpe)


def pruner_for(pruner: Pruner, study: str) -> BasePruner:
    """Returns the pruner of the Optuna study of that name. Its memory is the study: a new one decides the same."""
    if pruner.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.warmup_steps)
    if pruner.kind == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, pruner.warmup_steps), reduction_factor=2)
    if pruner.kind == "hyperband":
        return _Hyperband(study, min_resource=max(1, pruner.warmup_steps))
    return optuna.pruners.NopPruner()


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


class _Hyperband(HyperbandPruner):
    """Hyperband whose brackets follow from what is told, whoever looks and wherever.

    Optuna's takes for the longest race the longest of the trials that are complete when it first looks, so a resumed
    search had other brackets. Results are told in the order of the trials: the first complete one stays the first.
    """

    def __init__(self, study: str, min_resource: int) -> None:
        super().__init__(min_resource=min_resource)
        self._name = SimpleNamespace(study_name=study)  # a database puts a key before it that no two stores share

    def _try_initialization(self, study: optuna.Study) -> None:
        trials = _whole(study).get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        steps = [(trial.number, trial.last_step) for trial in trials if trial.last_step is not None]
        if steps:
            self._max_resource = min(steps)[1] + 1
            super()._try_initialization(study)

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        if not self._pruners:  # a sampler may ask before anything was judged, and would be shown all brackets
            self._try_initialization(study)
        return super()._get_bracket_id(cast(Any, self._name), trial)


def _whole(study: Any) -> optuna.Study:
    """Returns the study itself of what shows a part of it: a bracket, or the newest trials."""
    while hasattr(study, "_study"):
        study = study._study
    return cast(optuna.Study, study)


class _OfTheNewest(BaseSampler):
    """TPE that models a pairing's best 25 and newest 500 trials, of however many.

    It looks at every trial in Python for every proposal: measured 15 ms at 1,000 trials and 62 ms at 5,000. All good
    trials that it would model are among those it sees, and of the others it lacks the oldest, which weigh least.
    """

    def __init__(self, tpe: TPESampler) -> None:
        self._tpe = tpe
        self._view: _Newest | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns what is sampled together."""
        return self._tpe.infer_relative_search_space(cast(Any, _OneOfEach(self._newest_of(study))), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns values for what is sampled together."""
        return self._tpe.sample_relative(self._newest_of(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns a value for one parameter alone."""
        return self._tpe.sample_independent(self._newest_of(study), trial, param_name, param_distribution)

    def _newest_of(self, study: optuna.Study) -> Any:
        self._view = self._view or _Newest(study)  # a sampler lives for one trial
        return self._view


class _Newest:
    """A study as it is, but for its trials: the newest, and of the older ones the best."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._modelled if states is None or trial.state in states]

    @cached_property
    def _modelled(self) -> list[FrozenTrial]:
        # Looked up once: for each of the states that TPE asks for, the storage would go through all trials again.
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) <= MOST_MODELLED:
            return trials
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        best = heapq.nlargest(_BEST, complete, key=attrgetter("values"))  # of one value each; `value` takes 2 ms longer
        newest = trials[-MOST_MODELLED:]
        older = [trial for trial in best if trial.number < newest[0].number]
        return sorted(older, key=lambda trial: trial.number) + newest


class _OneOfEach:
    """Of trials with the same parameters the first: what is sampled together follows from the names alone."""

    def __init__(self, study: _Newest) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        first: dict[tuple[str, ...], FrozenTrial] = {}
        for trial in self._study._get_trials(*args, **options):
            first.setdefault(tuple(trial.distributions), trial)
        return list(first.values())
