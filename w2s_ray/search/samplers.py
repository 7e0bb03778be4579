"""Optuna's samplers and pruners by the names a sweep uses."""

import hashlib
import warnings

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from w2s_ray.spec import Pruner, Search


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
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
        )


def pruner_for(pruner: Pruner) -> BasePruner:
    """Returns the pruner; its memory is the study's intermediate values."""
    if pruner.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.warmup_steps)
    if pruner.kind == "successive-halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, pruner.warmup_steps), reduction_factor=2)
    if pruner.kind == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, pruner.warmup_steps))
    return optuna.pruners.NopPruner()
