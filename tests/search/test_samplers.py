"""TPE models the best and the newest trials of a study, and all of them while they are few."""

from typing import Any

import optuna
import pytest

from w2s_ray.search import samplers
from w2s_ray.search.samplers import sampler_for
from w2s_ray.spec import Search


def study_of(values: list[float]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    unit = optuna.distributions.FloatDistribution(0, 1)
    for number, value in enumerate(values):
        params = {"x": value, "y": 1 - value} if number % 3 else {"z": value / 2, "x": value}  # two methods
        space = dict.fromkeys(params, unit)
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    return study


def proposal(study: optuna.Study) -> dict[str, Any]:
    study.sampler = sampler_for(Search(), trial=7, startup=5)
    trial = study.ask()
    for name in "xyz":
        trial.suggest_float(name, 0, 1)
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return trial.params


def test_of_many_trials_the_best_and_the_newest_are_modelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "MOST_MODELLED", 30)
    values = [((37 * number) % 101) / 101 for number in range(90)]
    seen = samplers._Newest(study_of(values))._get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    best = set(sorted(range(90), key=lambda number: -values[number])[:25])
    assert [trial.number for trial in seen] == sorted(best | set(range(60, 90)))


def test_while_they_are_few_a_proposal_is_that_of_plain_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [((37 * number) % 101) / 101 for number in range(60)]
    limited = proposal(study_of(values))
    monkeypatch.setattr(samplers, "_OfTheNewest", lambda tpe: tpe)
    assert proposal(study_of(values)) == limited
