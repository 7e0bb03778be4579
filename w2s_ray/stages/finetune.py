"""From a Finetune stage to its files: reads the inputs from the store, trains, predicts. Knows nothing of Ray.

Which labels the network learns from is decided here and nowhere else: the predictions of the stage's `labels` input, or
ground truth where it has none. Ground truth of validation and test is used to measure alone.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.torch import save_file

from w2s_ray.assets import locate
from w2s_ray.labels import Labels, ground_truth
from w2s_ray.models.head import LinearHead
from w2s_ray.models.load import load_classifier
from w2s_ray.stages.artifacts import (
    CURVE,
    EXAMPLES,
    FEATURES,
    PREDICTIONS,
    WEIGHTS,
    Examples,
    Predictions,
    write_lines,
)
from w2s_ray.stages.stage import Finetune, Stage, origin_of
from w2s_ray.stages.store import Store
from w2s_ray.training.checkpoints import Checkpoints, Row
from w2s_ray.training.evaluate import predict
from w2s_ray.training.inputs import FeatureInputs, Inputs, SomeInputs, TextInputs
from w2s_ray.training.loop import Problem, Worker, finetune, seed_everything
from w2s_ray.training.weights import chosen_row

SUMMARY = "summary.json"
PREDICTED = ("student", "validation", "test")


def train_stage(
    stage: Stage, store: Store, outputs: Path, worker: Worker, report: Callable[[dict[str, Any]], None]
) -> None:
    """Trains one model and, on rank 0, writes curve, predictions, weights and summary into `outputs`.

    Args:
        stage: a Finetune stage whose inputs are stored.
        store: where they are, and where its checkpoints go.
        outputs: an existing folder.
        worker: which part of the global batch this process trains on, and where.
        report: called with each row of the learning curve, by every worker.
    """
    start = time.monotonic()
    settings = stage.settings
    assert isinstance(settings, Finetune)
    resources = stage.execution.resources
    examples = Examples.read(store.get(stage.inputs["examples"].address).file(EXAMPLES))
    seed_everything(settings.seed)
    network, inputs_of = _network_and_inputs(stage, settings, store, examples)
    network.to(worker.device)
    labels, judges = _labels(stage, settings, store, examples)
    curve = finetune(
        network,
        Problem(_taught(inputs_of(settings.half), labels, examples, settings), labels, inputs_of("validation"), judges),
        settings.training,
        settings.loss,
        settings.seed,
        worker=worker,
        micro_batch=resources.micro_batch,
        checkpoints=Checkpoints(store.work(stage.address) / "checkpoints", resources.checkpoint_seconds),
        report=report,
    )
    if worker.rank != 0:
        return
    predictions = _predict(network, inputs_of, examples, settings, worker, resources.micro_batch)
    _write(outputs, network, settings, curve, predictions)
    summary = _summary(examples, predictions, chosen_row(curve, settings.training.select))
    summary["loop_seconds"] = time.monotonic() - start
    (outputs / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")


def _network_and_inputs(
    stage: Stage, settings: Finetune, store: Store, examples: Examples
) -> tuple[torch.nn.Module, Callable[[str], Inputs]]:
    """Returns the network and a function from a split to its inputs, in the order of the examples."""
    classes = len(examples.class_names)
    if settings.train == "head":
        path = store.get(stage.inputs["features"].address).file(FEATURES)
        features = _first_columns(load_file(path)["features"], settings.features)
        head = LinearHead(features.shape[1], classes)
        head.standardize(torch.from_numpy(features[examples.rows(settings.half)]))
        return head, lambda split: FeatureInputs(features[examples.rows(split)])
    folder = locate(stage.execution.source, stage.execution.revision)
    network, tokenizer = load_classifier(folder, settings.model, classes)
    texts = _texts(stage, store, examples)

    def inputs_of(split: str) -> Inputs:
        return TextInputs([texts[row] for row in examples.rows(split)], tokenizer, settings.model.max_length)

    return network, inputs_of


def _texts(stage: Stage, store: Store, examples: Examples) -> list[str]:
    """Returns the texts in the order of the examples: those of the `texts` input where there is one."""
    other = stage.inputs.get("texts")
    return examples.texts if other is None else Examples.read(store.get(other.address).file(EXAMPLES)).texts


def _first_columns(features: NDArray[np.float32], count: int | None) -> NDArray[np.float32]:
    if count is not None and count > features.shape[1]:
        raise ValueError(f"features must be at most {features.shape[1]}, the model's width, got {count}")
    return features[:, :count]


def _labels(stage: Stage, settings: Finetune, store: Store, examples: Examples) -> tuple[Labels, dict[str, Labels]]:
    """Returns the labels to learn from, and those that measure: ground truth and, for a student, its supervisor's."""
    truth = _truth(examples, "validation")
    teacher = stage.inputs.get("labels")
    if teacher is None:
        return _truth(examples, settings.half), {"truth": truth}
    predictions = store.get(teacher.address).predictions()
    given = {split: predictions.of(split) for split in (settings.half, "validation")}
    labels = {split: Labels(p.ids, p.probabilities, origin_of(teacher)) for split, p in given.items()}
    ids = examples.ids[examples.rows(settings.half)]
    half = labels[settings.half].of(ids[np.isin(ids, labels[settings.half].ids)])
    return half, {"truth": truth, "supervisor": labels["validation"].of(truth.ids)}


def _taught(inputs: Inputs, labels: Labels, examples: Examples, settings: Finetune) -> Inputs:
    """Returns those inputs of the training half that have a label; an operation on labels may have left some out."""
    ids = examples.ids[examples.rows(settings.half)]
    if len(labels.ids) == len(ids):
        return inputs
    return SomeInputs(inputs, np.flatnonzero(np.isin(ids, labels.ids)).astype(np.int64))


def _truth(examples: Examples, split: str) -> Labels:
    rows = examples.rows(split)
    return ground_truth(examples.ids[rows], examples.classes[rows], len(examples.class_names))


def _predict(
    network: torch.nn.Module,
    inputs_of: Callable[[str], Inputs],
    examples: Examples,
    settings: Finetune,
    worker: Worker,
    micro_batch: int | None,
) -> Predictions:
    batch_size = micro_batch or 256
    parts = [
        predict(network, inputs_of(split), batch_size, worker.device, settings.training.precision)
        for split in PREDICTED
    ]
    rows = np.concatenate([examples.rows(split) for split in PREDICTED])
    return Predictions(examples.ids[rows], examples.splits[rows], np.concatenate(parts))


def _write(
    outputs: Path, network: torch.nn.Module, settings: Finetune, curve: list[dict[str, Any]], predictions: Predictions
) -> None:
    write_lines(outputs / CURVE, curve)
    predictions.write(outputs / PREDICTIONS)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, outputs / WEIGHTS)


def _summary(examples: Examples, predictions: Predictions, row: Row) -> dict[str, Any]:
    """The final numbers; `step` and the rest of `row` say when the weights that count were reached.

    `student_accuracy` is how right the labels are that this model would give a student.
    """
    classes = np.concatenate([examples.classes[examples.rows(split)] for split in PREDICTED])
    right = predictions.probabilities.argmax(axis=1) == classes
    accuracies = {f"{split}_accuracy": float(right[predictions.splits == split].mean()) for split in PREDICTED}
    return {**row, **accuracies}
