"""Finished trials of an older study as the first proposals of a new one, where they mean exactly the same.

A proposal is compatible if the new space can express it and it leads to the very stages that the old trial recorded.
It is then asked like any other trial, finds its stages in the store and costs nothing; so budget, order and
reproducibility are those of any search.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from w2s_ray.files import from_json
from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Dimension, Pairing
from w2s_ray.spec.method import Value

Proposal = dict[str, Value]


@dataclass(frozen=True)
class Seeds:
    """Proposals for one pairing, best first, and how many finished trials could not be taken over."""

    proposals: tuple[Proposal, ...]
    left_aside: int


def seeds_for(parts: Parts, pairing: Pairing, older: Sequence[optuna.Study]) -> Seeds:
    """Returns the compatible finished trials of `older` studies of the same pairing."""
    found: dict[str, tuple[float, Proposal]] = {}
    left_aside = 0
    for study in older:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            proposal = _proposal(parts, pairing, trial)
            if proposal is None:
                left_aside += 1
            elif trial.value is not None:
                found.setdefault(json.dumps(proposal, sort_keys=True), (trial.value, proposal))
    best_first = sorted(found.values(), key=lambda pair: -pair[0])
    return Seeds(tuple(proposal for _, proposal in best_first), left_aside)


def _proposal(parts: Parts, pairing: Pairing, trial: FrozenTrial) -> Proposal | None:
    """Returns what the new space has to propose for the same experiment, or None if it cannot."""
    recorded = from_json(trial.user_attrs.get("stages", "{}"))
    method = trial.user_attrs.get("method")
    if method not in parts.sweep.methods:
        return None
    params = {**parts.sweep.settings_of(method), **trial.params}
    proposal: Proposal = {"method": method}
    effective: dict[str, Any] = dict(parts.sweep.settings_of(method))
    for name, dimension in parts.sweep.space.items():
        if not dimension.exists(name, method, pairing.name):
            continue
        effective[name] = dimension.constant if not dimension.varies else params.get(name)
        if effective[name] is None or not _contains(dimension, effective[name]):
            return None
        if dimension.varies:
            proposal[name] = effective[name]
    stages = stages_of(parts, Experiment(0, pairing.name, method, effective, default=False))
    same = {role: [stage.address for stage in of_role] for role, of_role in stages.items()} == recorded
    return proposal if same else None


def _contains(dimension: Dimension, value: Value) -> bool:
    return dimension.nearest(value) == value
