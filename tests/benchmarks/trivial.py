"""A sweep whose stages cost nothing: each is published as if it had been trained, so that all else can be measured.

One pairing, three methods and two seeds: four baselines in all, and two students for each trial.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.search.folder import journal_path, save_spec
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.artifacts import CURVE, EXAMPLES, PREDICTIONS, Examples, Predictions, write_lines
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

HEAD = {"lr": 1e-3, "epochs": 3}
SPEC: dict[str, Any] = {
    "name": "trivial",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {f"minilm-{depth}": {"source": "minilm", "depth": depth, "baseline": HEAD} for depth in (0, 1, 2)},
    "pairings": [{"weak": "minilm-0", "strong": "minilm-2", "intermediates": ["minilm-1"]}],
    "methods": ["naive", "confidence", "bootstrap"],
    "space": {
        "lr": {"log_uniform": [1e-4, 1e-2]},
        "epochs": {"int": [1, 5]},
        "alpha": {"uniform": [0, 0.9], "when": {"method": "confidence"}},
    },
    "seeds": [0, 1],
}
_STEPS = (10, 20, 30, 40)
_EXAMPLES = 40
_IDS = np.asarray([f"{n:04d}" for n in range(_EXAMPLES)])
_SPLITS = np.asarray(["validation", "test"] * (_EXAMPLES // 2))


def trivial_sweep(store: Path, trials: int, **search: Any) -> Sweep:
    """Returns the sweep with a budget of `trials`."""
    return Sweep.model_validate({**SPEC, "store": str(store), "search": {"trials": trials, "parallelism": 4, **search}})


def fill(sweep: Sweep) -> None:
    """Runs the sweep's search to its end with random proposals, which are quick, and publishes all its stages.

    How trials are proposed is no part of a study's name, so any sampler may go on from there.
    """
    quick = replace(sweep, search=replace(sweep.search, sampler="random"))
    store = Store(sweep.store)
    save_spec(store, sweep)
    study = Study(Parts(quick), journal_path(store, sweep.name))
    for _ in finish(study, Parts(quick), store):
        pass


def finish(study: Study, parts: Parts, store: Store) -> Iterator[Experiment]:
    """Asks for and tells all that is left, one trial at a time in order; yields each as it ends."""
    waiting: list[Experiment] = []
    while not study.finished:
        while (experiment := study.ask()) is not None:
            publish(parts, store, experiment)
            waiting.append(experiment)
        ended = waiting.pop(0)
        study.tell(ended.number, outcome(ended))
        yield ended


def outcome(experiment: Experiment) -> Outcome:
    """Returns how a trial ends: a smooth landscape over the learning rate and alpha."""
    params: dict[str, Any] = dict(experiment.params)
    value = 0.7 + 0.1 * params.get("alpha", 0.0) - abs(params["lr"] - 3e-3) - 0.001 * params["epochs"]
    rows = {step: value - 1 / step for step in _STEPS}
    return Outcome("complete", {"oracle": value, "weak": value}, rows)


def publish(parts: Parts, store: Store, experiment: Experiment) -> None:
    """Puts the trial's stages into the store, as far as they are not there."""
    for of_role in stages_of(parts, experiment).values():
        for stage in of_role:
            if not store.has(stage.address):
                _publish(store, stage, parts.sweep.name)
                _publish_examples(store, stage.inputs["examples"], parts.sweep)


def _publish_examples(store: Store, stage: Stage, sweep: Sweep) -> None:
    """Those that `_publish` has predictions of; MLflow's data sets and table of predictions are made of them."""
    if store.has(stage.address):
        return
    with store.publish(stage, sweep.name) as draft:
        rows = (_IDS, [f"review {name}" for name in _IDS], np.arange(_EXAMPLES) % 2, _SPLITS)
        Examples(*rows, ("negative", "positive")).write(draft.path / EXAMPLES)
        draft.summary = {"splits": sweep.task.splits.model_dump(), "class_names": ["negative", "positive"]}


def _publish(store: Store, stage: Stage, made_by: str) -> None:
    accuracy = 0.6 + int(stage.address[:4], 16) / 2**18
    rows = [{"step": n, "train_loss": 1 / n, "validation_accuracy": accuracy - 1 / n, "lr": 1e-3} for n in _STEPS]
    scores = np.linspace(0, 1, _EXAMPLES, dtype=np.float32)
    with store.publish(stage, made_by) as draft:
        write_lines(draft.path / CURVE, rows)
        Predictions(_IDS, _SPLITS, np.stack([scores, 1 - scores], axis=1)).write(draft.path / PREDICTIONS)
        draft.summary = {**rows[-1], "test_accuracy": accuracy}
        draft.seconds = {"loop": 0.01, "stage": 0.02}
