"""What the Optuna studies of a sweep hold, read without writing."""

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.methods import Experiment
from w2s_ray.search.place import Place
from w2s_ray.search.storage import OpenStudies, open_to_read
from w2s_ray.spec import Sweep

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def read_trials(place: Place, names: Sequence[str]) -> list[tuple[int, FrozenTrial]]:
    """Returns number and Optuna trial of every trial in the studies `names`, by number."""
    return numbered(read_studies(place, names))


def read_studies(place: Place, names: Sequence[str]) -> list[optuna.Study]:
    """Returns the Optuna studies `names`; none unless all of them are there."""
    opened = open_to_read(place) if names else None
    if opened is None or not set(opened.names()).issuperset(names):
        return []
    return [opened.load(name) for name in names]


def comparable_studies(opened: OpenStudies, prefix: str, but: str) -> list[optuna.Study]:
    """Returns the studies whose names begin with `prefix`, the newest first, without the one called `but`."""
    older = [name for name in opened.names() if name.startswith(f"{prefix}/") and name != but]
    return [opened.load(name) for name in reversed(older)]


def numbered(studies: Sequence[optuna.Study]) -> list[tuple[int, FrozenTrial]]:
    """Returns number and Optuna trial of every trial that was asked, by number; the studies are those of a sweep."""
    found = [
        (trial.number * len(studies) + index, trial)
        for index, study in enumerate(studies)
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.WAITING
    ]
    return sorted(found, key=lambda pair: pair[0])


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
