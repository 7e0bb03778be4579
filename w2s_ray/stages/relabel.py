"""From a labels stage to its predictions: one operation on the labels of the student's half.

Validation and test examples keep the labels of the supervisor, whatever is done to the student's half, so that no
choice among students is made by labels that were altered for training. Only the mean of several supervisors is a new
supervisor, and so has its own labels everywhere. An example without a label is one the student does not train on.
"""

from typing import Any

import numpy as np
from safetensors.numpy import load_file

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.relabel import change, probes
from w2s_ray.relabel.draws import parts_of
from w2s_ray.relabel.structure import order_of
from w2s_ray.stages.artifacts import EXAMPLES, FEATURES, Examples, Predictions
from w2s_ray.stages.operations import Flip, Harden, Keep, Mean, Part, Probe, PutTruth, Temper
from w2s_ray.stages.stage import Relabel, Stage, knows_truth, origin_of
from w2s_ray.stages.store import Store

HALF = "student"


def relabel_stage(stage: Stage, store: Store) -> tuple[Predictions, dict[str, Any]]:
    """Applies a labels stage's operation, with its inputs from the store.

    Returns:
        Labels as predictions, and a summary: `labels` left in the student's half of `examples`, `label_accuracy`
        among them by ground truth, and whether the student thereby `knows_truth`.
    """
    assert isinstance(stage.settings, Relabel)
    examples = Examples.read(store.get(stage.inputs["examples"].address).file(EXAMPLES))
    if isinstance(stage.settings.operation, Mean):
        made = _mean(stage, store)
    else:
        before = store.get(stage.inputs["labels"].address).predictions()
        made = _with_half(before, _changed(stage, store, examples, _half(before, stage.inputs["labels"])))
    return made, _summary(stage, examples, _half(made, stage))


def _mean(stage: Stage, store: Store) -> Predictions:
    inputs = [needed for role, needed in stage.inputs.items() if role != "examples"]
    found = [store.get(needed.address).predictions() for needed in inputs]
    labels = change.mean([Labels(p.ids, p.probabilities, one.address) for p, one in zip(found, inputs, strict=True)])
    return Predictions(found[0].ids, found[0].splits, labels.probabilities)


def _changed(stage: Stage, store: Store, examples: Examples, labels: Labels) -> Labels:
    assert isinstance(stage.settings, Relabel)
    operation = stage.settings.operation
    if isinstance(operation, Temper):
        return change.temper(labels, operation.temperature)
    if isinstance(operation, Harden):
        return change.harden(labels)
    if isinstance(operation, Keep):
        return change.keep_confident(labels, operation.share)
    if isinstance(operation, Part):
        return change.only(labels, parts_of(labels.ids, operation.of, "part") == operation.part)
    if isinstance(operation, PutTruth):
        return change.put_truth(labels, _truth(examples), operation.fraction, operation.seed)
    if isinstance(operation, Probe):
        return _probed(operation, labels, _features(stage, store, examples, labels))
    assert isinstance(operation, Flip)
    return _flipped(stage, operation, store, examples, labels)


def _flipped(stage: Stage, operation: Flip, store: Store, examples: Examples, labels: Labels) -> Labels:
    rows = _rows(examples, labels)
    truth = _truth(examples).of(labels.ids)
    texts = [examples.texts[row] for row in rows]
    ceiling = None
    if "ceiling" in stage.inputs:
        needed = stage.inputs["ceiling"]
        ceiling = _half(store.get(needed.address).predictions(), needed)
    order = order_of(operation.structure, truth, texts, ceiling, operation.seed)
    if operation.rate is None:
        return change.flip(truth, order[: int((labels.classes != truth.classes).sum())], operation.seed)
    return change.flip(labels, order[: round(operation.rate * len(order))], operation.seed)


def _probed(operation: Probe, labels: Labels, features: Any) -> Labels:
    knn = operation.model == "knn"
    probe = probes.neighbours(int(operation.strength)) if knn else probes.logistic(operation.strength)
    if operation.action == "relabel":
        return probes.relabel(labels, features, probe)
    return probes.drop_suspects(labels, features, probe, operation.dropped)


def _features(stage: Stage, store: Store, examples: Examples, labels: Labels) -> Any:
    features = load_file(store.get(stage.inputs["features"].address).file(FEATURES))["features"]
    return features[_rows(examples, labels)]


def _rows(examples: Examples, labels: Labels) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The examples' rows in the order of the labels."""
    place = {name: row for row, name in enumerate(examples.ids.tolist())}
    return np.array([place[name] for name in labels.ids.tolist()], dtype=np.int64)


def _truth(examples: Examples) -> Labels:
    rows = examples.rows(HALF)
    return ground_truth(examples.ids[rows], examples.classes[rows], len(examples.class_names))


def _half(predictions: Predictions, made_by: Stage) -> Labels:
    half = predictions.of(HALF)
    return Labels(half.ids, half.probabilities, origin_of(made_by))


def _with_half(before: Predictions, half: Labels) -> Predictions:
    """Returns `before` with the student's half replaced, and everything else as it was."""
    others = before.splits != HALF
    return Predictions(
        ids=np.concatenate([half.ids, before.ids[others]]),
        splits=np.concatenate([np.full(len(half.ids), HALF), before.splits[others]]),
        probabilities=np.concatenate([half.probabilities, before.probabilities[others]]),
    )


def _summary(stage: Stage, examples: Examples, labels: Labels) -> dict[str, Any]:
    truth = _truth(examples)
    right = labels.classes == truth.of(labels.ids).classes
    return {
        "labels": len(labels.ids),
        "examples": len(truth.ids),
        "label_accuracy": float(right.mean()),
        "knows_truth": knows_truth(stage),
    }
