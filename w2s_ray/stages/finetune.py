"""From a Finetune stage to a trained model: reads the inputs from the store, trains, predicts. Knows nothing of Ray.

Which labels the network learns from is decided here and nowhere else: the predictions of the stage's `labels` input, or
ground truth where it has none. Ground truth of validation and test is used to measure alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.models.head import LinearHead
from w2s_ray.models.neighbours import Neighbours
from w2s_ray.spec.model import AT_ONCE
from w2s_ray.stages.artifacts import (
    CURVE,
    EXAMPLES,
    PREDICTIONS,
    WEIGHTS,
    Examples,
    Predictions,
    write_lines,
)
from w2s_ray.stages.carried import checkpoints_of
from w2s_ray.stages.network import network_and_inputs, with_labels
from w2s_ray.stages.stage import Finetune, Stage, origin_of
from w2s_ray.stages.store import Store
from w2s_ray.training.checkpoints import Row
from w2s_ray.training.device import room_on
from w2s_ray.training.evaluate import predict
from w2s_ray.training.inputs import Inputs, SomeInputs
from w2s_ray.training.loop import Problem, Worker, finetune, never, seed_everything, silent
from w2s_ray.training.probes import fit_probe
from w2s_ray.training.weights import chosen_row

PREDICTED = ("student", "validation", "test")


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        weights: of the network, on the CPU; of one with adapters these and the head alone.
        predictions: on the splits `PREDICTED`.
        curve: the rows of its learning curve.
        summary: its final numbers.
        seconds: that the training took in the process that made it last, predictions included.
    """

    weights: dict[str, Tensor]
    predictions: Predictions
    curve: list[Row]
    summary: dict[str, Any]
    seconds: float

    def write(self, folder: Path) -> None:
        """Writes curve, predictions and weights into a folder that exists."""
        write_lines(folder / CURVE, self.curve)
        self.predictions.write(folder / PREDICTIONS)
        save_file(self.weights, folder / WEIGHTS)


def train_stage(
    stage: Stage,
    store: Store,
    worker: Worker,
    report: Callable[[dict[str, Any]], None],
    stopping: Callable[[], bool] = never,
) -> Trained | None:
    """Trains one model. Worker 0 returns it, any other None.

    Args:
        stage: a Finetune stage whose inputs are stored.
        store: where they are, and where its checkpoints go.
        worker: which part of the global batch this process trains on, and where.
        report: called with each row of the learning curve, by every worker.
        stopping: asked by worker 0 whether to save a checkpoint and end; not by what is made in one step.
    """
    start = time.monotonic()
    settings = stage.settings
    assert isinstance(settings, Finetune)
    resources = stage.execution.resources
    examples = Examples.read(store.get(stage.inputs["examples"].address).file(EXAMPLES))
    seed_everything(settings.seed)
    labels, judges = _labels(stage, settings, store, examples)
    network, inputs_of = network_and_inputs(stage, settings, store, examples, labels)
    with room_on(worker.device):
        network.to(worker.device)
    problem = Problem(
        _taught(inputs_of(settings.half), labels, examples, settings), labels, inputs_of("validation"), judges
    )
    if isinstance(network, LinearHead | Neighbours) and settings.train in AT_ONCE:
        curve = fit_probe(network, problem, settings.l2, settings.loss.smoothing, worker, report)
    else:
        checkpoints = checkpoints_of(store, stage.address, resources.checkpoint_seconds, worker.rank)
        curve = finetune(
            network,
            problem,
            settings.training,
            settings.loss,
            settings.seed,
            worker=worker,
            micro_batch=resources.micro_batch,
            checkpoints=checkpoints,
            report=report,
            stopping=stopping,
        )
    if worker.rank != 0:
        return None
    predictions = _predict(network, inputs_of, examples, settings, worker, resources.micro_batch)
    summary = _summary(examples, predictions, chosen_row(curve, settings.training.select))
    return Trained(_weights(network, settings), predictions, curve, summary, time.monotonic() - start)


def train_alone(
    stage: Stage, store: Store, device: str = "cpu", report: Callable[[dict[str, Any]], None] = silent
) -> Trained:
    """Trains one model in this process. As `train_stage` with one worker."""
    trained = train_stage(stage, store, Worker(device=device), report)
    assert trained is not None
    return trained


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
    labelled = with_labels(examples, settings.half, labels)
    return inputs if labelled.all() else SomeInputs(inputs, np.flatnonzero(labelled).astype(np.int64))


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


def _weights(network: torch.nn.Module, settings: Finetune) -> dict[str, Tensor]:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if settings.train == "lora":  # the rest is the pretrained model
        frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
        weights = {name: tensor for name, tensor in weights.items() if name not in frozen}
    return weights


def _summary(examples: Examples, predictions: Predictions, row: Row) -> dict[str, Any]:
    """The final numbers; `step` and the rest of `row` say when the weights that count were reached.

    `student_accuracy` is how right the labels are that this model would give a student.
    """
    classes = np.concatenate([examples.classes[examples.rows(split)] for split in PREDICTED])
    right = predictions.probabilities.argmax(axis=1) == classes
    accuracies = {f"{split}_accuracy": float(right[predictions.splits == split].mean()) for split in PREDICTED}
    return {**row, **accuracies}
