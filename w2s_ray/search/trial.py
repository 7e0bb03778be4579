"""What runs in a trial's actor: asks the broker for the experiment's stages and judges the student. Imports no torch.

Without a pruner all seeds are asked for at once. With one the first seed races alone, its validation accuracy goes to
Tune as it is trained, and only a survivor gets its other seeds. Baselines are asked for before all students.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import ray
from ray import tune

from w2s_ray.methods import BASELINES, Experiment, Parts, stages_of
from w2s_ray.redacting import redact_output
from w2s_ray.spec import Sweep
from w2s_ray.stages.again import read_or_make
from w2s_ray.stages.attempts import reason_of, traceback_of
from w2s_ray.stages.errors import StoreUnavailableError, cause_of
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

Roles = Mapping[str, tuple[Stage, ...]]

OUTCOME, STEP, VALUE = "outcome", "step", "value"
UNAVAILABLE = "unavailable"
_POLL_SECONDS = 0.2


def trial_function(sweep: Sweep, store: Store, broker: Any) -> Callable[[dict[str, Any]], None]:
    """Returns the function that Tune calls with one experiment; its last report holds the outcome as JSON."""

    def run_trial(config: dict[str, Any]) -> None:
        redact_output()
        experiment = Experiment(**config["experiment"])
        try:
            outcome = _run(experiment, sweep, store, broker)
        except ray.exceptions.RayActorError:
            raise  # the broker is gone for good, and so is Ray: that says nothing about the experiment
        except Exception as error:
            # A trial that fails is a result of the search, not the end of the sweep; a store that fails is no result.
            is_the_stores = cause_of(error, StoreUnavailableError) is not None
            state = UNAVAILABLE if is_the_stores else "failed"
            outcome = {"state": state, "error": reason_of(error), "traceback": traceback_of(error)}
        ray.get(broker.turn.remote(experiment.number))
        tune.report({OUTCOME: json.dumps(outcome), STEP: 0, VALUE: 0.0})

    return run_trial


def _run(experiment: Experiment, sweep: Sweep, store: Store, broker: Any) -> dict[str, Any]:
    roles = stages_of(Parts(sweep), experiment)
    seeds = [list(of_seed) for of_seed in zip(*roles.values(), strict=True)]
    judge = f"validation_{'accuracy' if sweep.objective.labels == 'oracle' else 'agreement'}"

    def make() -> None:
        ray.get([broker.produce.remote(stage, experiment.number) for of_seed in seeds for stage in of_seed])

    def read() -> dict[str, Any]:
        curve = store.get(roles["student"][0].address).curve()
        return {
            "state": "complete",
            "values": judge_students(store, roles),
            "intermediate": {str(row["step"]): row[judge] for row in curve if judge in row},
        }

    if sweep.search.pruner.kind != "none":
        # All trials wait for the baselines in the end, so they are asked for before a student has the place.
        for role in BASELINES:
            for stage in roles[role]:
                broker.produce.remote(stage, experiment.number)  # what goes wrong with it is seen below
        _race(roles["student"][0], experiment.number, broker, judge)
    make()
    return read_or_make(read, make)


def _race(student: Stage, number: int, broker: Any, judge: str) -> None:
    """Trains the first seed's student and reports each validation; Tune stops this process's trial if it is pruned."""
    done = broker.produce.remote(student, number)
    last, finished = 0, False
    while not finished:
        finished = bool(ray.wait([done], timeout=_POLL_SECONDS)[0])
        if finished:
            ray.get(done)
        for row in ray.get(broker.progress.remote(student.address, last)):
            if judge in row:  # a prompt without shots knows no supervisor to agree with
                tune.report({STEP: row["step"], VALUE: row[judge]})
            last = row["step"]


def judge_students(store: Store, roles: Roles) -> dict[str, float]:
    """Returns mean validation accuracy over seeds, by ground truth (`oracle`) and by the weak supervisor (`weak`)."""
    oracle, weak = [], []
    for student, supervisor in zip(roles["student"], roles["weak"], strict=True):
        stored = store.get(student.address)
        oracle.append(stored.record.summary["validation_accuracy"])
        predicted = stored.predictions().of("validation").probabilities.argmax(axis=1)
        labels = store.get(supervisor.address).predictions().of("validation").probabilities.argmax(axis=1)
        weak.append(float(np.mean(predicted == labels)))
    return {"oracle": float(np.mean(oracle)), "weak": float(np.mean(weak))}
