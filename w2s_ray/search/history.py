"""The name of a sweep's history: random, given once, kept in its study, and the same in every generation of it.

It goes wherever the study goes, so a store that is moved or mirrored holds the same history, and the sweep of that name
in another store holds another one. By it MLflow's runs of the two are told apart.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from w2s_ray.search.storage import OpenStudies

_HISTORY = "history"
_DIGITS = 16


def history_in(*attributes: Mapping[str, Any]) -> str:
    """Returns the history that attributes of Optuna studies name; empty for a study of a version before."""
    return next((str(of_study[_HISTORY]) for of_study in attributes if _HISTORY in of_study), "")


def give_history(opened: OpenStudies, studies: Sequence[optuna.Study]) -> str:
    """Returns the history of a sweep, and gives it to those of `studies` that lack it; for the driver alone."""
    lacking = [study for study in studies if _HISTORY not in study.user_attrs]
    if lacking:
        known = (opened.load(name).user_attrs for name in opened.names())
        history = history_in(*known) or uuid.uuid4().hex[:_DIGITS]
        for study in lacking:
            study.set_user_attr(_HISTORY, history)
    return history_in(*(study.user_attrs for study in studies))
