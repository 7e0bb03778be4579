"""What the search found out about the space: each trial's score, and which parameters matter.

Pairings have different levels of accuracy, so trials of all pairings are put together by their *score*: the objective
minus the mean objective of the finished trials of their pairing, in accuracy points.

Importance is Optuna's PED-ANOVA (arXiv 2304.10255; with conditional parameters, arXiv 2601.20800): how differently a
parameter is distributed among the best trials and among all. It says what sets the best apart within the space that was
searched, and nothing about cause or direction. With few trials it is mostly noise, so the same number is computed for
shuffled scores: what lies below that level may be chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from w2s_ray.search.record import SweepRecord, TrialRecord
from w2s_ray.spec import Sweep
from w2s_ray.spec.method import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_AT_LEAST, _BEST, _SHUFFLES = 8, 5, 20


@dataclass(frozen=True)
class Scored:
    """A finished trial with its score, in accuracy points above the mean of its pairing."""

    trial: TrialRecord
    score: float
    varied: Mapping[str, Value]


@dataclass(frozen=True)
class Importance:
    """Shares that sum to 1 over the parameters; `by_chance` is the 95th percentile under shuffled scores."""

    parameter: str
    share: float
    by_chance: float


def scored(record: SweepRecord) -> list[Scored]:
    """Returns the finished trials by number, with the parameters that the search could vary."""
    judge = record.sweep.objective.labels
    made = []
    for pairing in record.sweep.pairings:
        trials = [trial for trial in record.of(pairing.name) if judge in trial.values]
        mean = np.mean([trial.values[judge] for trial in trials]) if trials else 0.0
        made += [Scored(t, float(100 * (t.values[judge] - mean)), varied(record.sweep, t)) for t in trials]
    return sorted(made, key=lambda one: one.trial.number)


def varied(sweep: Sweep, trial: TrialRecord) -> dict[str, Value]:
    """Returns what the search chose for a trial: the method, where there are several, and the varying dimensions."""
    chosen: dict[str, Value] = {"method": trial.method} if len(sweep.methods) > 1 else {}
    for name, dimension in sweep.space.items():
        if dimension.varies and name in trial.params and dimension.exists(name, trial.method, trial.pairing):
            chosen[name] = trial.params[name]
    return chosen


def importances(sweep: Sweep, trials: Sequence[Scored]) -> tuple[Importance, ...]:
    """Returns the importance of every parameter, largest first; nothing for fewer than eight finished trials."""
    names = list(dict.fromkeys(name for one in trials for name in one.varied))
    if len(trials) < _AT_LEAST or len(names) < 2:
        return ()
    scores = np.array([one.score for one in trials])
    shares = _ped_anova(sweep, trials, scores)
    rng = np.random.default_rng(0)
    shuffled = [_ped_anova(sweep, trials, rng.permutation(scores)) for _ in range(_SHUFFLES)]
    found = [
        Importance(name, shares[name], float(np.quantile([one[name] for one in shuffled], 0.95))) for name in shares
    ]
    return tuple(sorted(found, key=lambda one: -one.share))


def best_ten(trials: Sequence[Scored], pairing: str) -> list[Scored]:
    """Returns up to ten finished trials of a pairing with the best score; of equals, the first."""
    return sorted((one for one in trials if one.trial.pairing == pairing), key=lambda one: -one.score)[:10]


def numeric_pairs(sweep: Sweep, trials: Sequence[Scored], order: Sequence[str]) -> tuple[str, str, list[Scored]] | None:
    """Returns the first two of the parameters `order` that are numbers and meet in five trials, with those trials."""
    numeric = [name for name in order if name in sweep.space and sweep.space[name].choice is None]
    for one, a in enumerate(numeric):
        for b in numeric[one + 1 :]:
            both = [trial for trial in trials if a in trial.varied and b in trial.varied]
            if len(both) >= _BEST:
                return a, b, both
    return None


def is_log(sweep: Sweep, parameter: str) -> bool:
    """Whether the search draws a parameter on a log scale."""
    dimension = sweep.space.get(parameter)
    return dimension is not None and (dimension.log_uniform is not None or dimension.log)


def _ped_anova(sweep: Sweep, trials: Sequence[Scored], scores: NDArray[np.float64]) -> dict[str, float]:
    # Imported late: Optuna takes a second that other readers of a report need not wait for.
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for one, score in zip(trials, scores.tolist(), strict=True):
        distributions = {name: _distribution(sweep, name) for name in one.varied}
        study.add_trial(optuna.trial.create_trial(params=dict(one.varied), distributions=distributions, value=score))
    # Optuna advises five trials or more in the group that counts as best.
    quantile = min(0.5, max(0.1, _BEST / len(trials)))
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile)))


def _distribution(sweep: Sweep, name: str) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if name == "method":
        return CategoricalDistribution(tuple(sweep.methods))
    dimension = sweep.space[name]
    if dimension.choice is not None:
        return CategoricalDistribution(dimension.choice)
    if dimension.int_ is not None:
        return IntDistribution(*dimension.int_, log=dimension.log)
    low, high = dimension.log_uniform or dimension.uniform or (0.0, 1.0)
    return FloatDistribution(low, high, log=dimension.log_uniform is not None)
