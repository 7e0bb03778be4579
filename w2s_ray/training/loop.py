"""Finetuning: the same steps to float tolerance on one worker or several, at once or in parts, interrupted or not.

A step is made of one global batch. Its loss is a sum over examples divided by the global batch's size, so the gradient
is the sum of what workers and micro-batches contribute, however unevenly. Every micro-batch frees its memory before
the next. The confidence loss's threshold is set over the whole global batch; where the batch is in parts, a first pass
without gradient collects the predictions it needs.

All networks stay in eval mode: their own dropout is off, and what is random after initialisation, the order of batches
and what our dropout leaves out, follows from seed and step.
"""

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from w2s_ray.labels import Labels
from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.batches import cut, epoch_batches, share
from w2s_ray.training.checkpoints import Checkpoints, Row, Snapshot, load_optimizer, optimizer_tensors
from w2s_ray.training.device import room_on
from w2s_ray.training.dropout import kept_of
from w2s_ray.training.errors import DeviceOutOfMemory, TrainingDiverged, TrainingStopped
from w2s_ray.training.evaluate import logits_of
from w2s_ray.training.gradients import Gradients
from w2s_ray.training.inputs import Inputs, Rows
from w2s_ray.training.judge import judge
from w2s_ray.training.losses.objective import Objective
from w2s_ray.training.schedule import alpha_at, lr_at
from w2s_ray.training.weights import Average, Best
from w2s_ray.training.worker import Worker

__all__ = [
    "DeviceOutOfMemory",
    "Problem",
    "TrainingDiverged",
    "TrainingStopped",
    "Worker",
    "finetune",
    "seed_everything",
]


@dataclass(frozen=True)
class Problem:
    """What is learned, and who judges it.

    Attributes:
        train: inputs of the training half.
        labels: what is learned, in the order of `train`; whether truth or weak is the caller's decision.
        validation: inputs that no gradient sees.
        judges: labels for `validation` by name; `truth` gives the column `validation_accuracy`, `supervisor`
            `validation_agreement`, any other `validation_<name>`.
    """

    train: Inputs
    labels: Labels
    validation: Inputs
    judges: dict[str, Labels]

    def __post_init__(self) -> None:
        if len(self.train) != len(self.labels.ids) or len(self.train) == 0:
            raise ValueError(f"{len(self.train)} training inputs do not fit {len(self.labels.ids)} labels")
        for name, labels in self.judges.items():
            if len(self.validation) != len(labels.ids) or len(self.validation) == 0:
                raise ValueError(f"{len(self.validation)} validation inputs do not fit {len(labels.ids)} of {name}")


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch, and asks torch for deterministic algorithms. Call it before a network is built."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # fills every new tensor
    torch.backends.cuda.enable_mem_efficient_sdp(False)  # these two have no deterministic backward
    torch.backends.cuda.enable_cudnn_sdp(False)


def silent(row: Row) -> None:
    """Takes a row that nobody wants to see."""


def never() -> bool:
    """Lets a training run to its end."""
    return False


def finetune(
    network: nn.Module,
    problem: Problem,
    training: Training,
    loss: Loss,
    seed: int,
    worker: Worker = Worker(),  # noqa: B008 - frozen
    micro_batch: int | None = None,
    checkpoints: Checkpoints | None = None,
    report: Callable[[Row], None] = silent,
    stopping: Callable[[], bool] = never,
) -> list[Row]:
    """Trains `network` in place and returns its learning curve.

    Args:
        network: maps a batch of `problem.train` to logits (n, classes). Parameters with `requires_grad` are trained;
            those of two or more dimensions decay, biases and norms do not.
        problem: data and judges, the same on all workers.
        training: hyper-parameters; `batch_size` is over all workers.
        loss: what is minimised, see `w2s_ray.training.losses`.
        seed: of the order of batches.
        worker: which of how many; with several, all call this and worker 0's initial weights count.
        micro_batch: examples per forward pass of one worker; None takes its whole share at once.
        checkpoints: resumed from if there are any. Worker 0 writes, all read. None at the end.
        report: called on every worker with each row; what it raises ends the training. The rows of a checkpoint come
            first, since whoever heard of them may have forgotten.
        stopping: whether to save and end; worker 0 asks after each step, if there are checkpoints, and so ends for all.

    Returns:
        A row every `eval_every` steps and after the last: `step` (from 1), `epoch` (passes made), `lr`, `alpha`,
        `train_loss` (mean since the row before), and a column per judge. Resumed rows are in it.
        `network` has the weights of `chosen_row(curve, training.select)`.

    Raises:
        TrainingDiverged: the loss or the gradient became NaN or infinite; raised by all workers at the same step.
        TrainingStopped: it was asked to end, and saved a checkpoint.
        DeviceOutOfMemory: lower `micro_batch`.
    """
    with room_on(worker.device, min(micro_batch or training.batch_size, math.ceil(training.batch_size / worker.size))):
        run = _Run(network, problem, training, loss, seed, worker, micro_batch)
        return run.train(checkpoints, report, stopping)


class _Run:
    """One call of `finetune`."""

    def __init__(
        self,
        network: nn.Module,
        problem: Problem,
        training: Training,
        loss: Loss,
        seed: int,
        worker: Worker,
        micro_batch: int | None,
    ) -> None:
        self.network = network.to(worker.device).eval()
        self.problem, self.training, self.loss = problem, training, loss
        self.seed, self.worker, self.micro_batch = seed, worker, micro_batch
        worker.broadcast(network.state_dict().values())
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.gradients = Gradients(trained)
        self.optimizer = _optimizer(trained, training)
        self.labels = torch.from_numpy(np.ascontiguousarray(problem.labels.probabilities)).to(worker.device)
        self.objective = Objective(loss, self.labels)
        self.average, self.best = Average(trained, training.ema), Best(trained, training.select)
        self.per_epoch = math.ceil(len(problem.train) / training.batch_size)
        self.steps = self.per_epoch * training.epochs
        self.epoch, self.batches = -1, list[Rows]()

    def train(
        self, checkpoints: Checkpoints | None, report: Callable[[Row], None], stopping: Callable[[], bool]
    ) -> list[Row]:
        first, curve, (total, count) = self.resume(checkpoints)
        for row in curve:
            report(dict(row))
        for step in range(first, self.steps):
            total, count, done = total + self.step(step), count + 1, step + 1
            if done % self.training.eval_every == 0 or done == self.steps:
                with self.average.in_place():
                    curve.append(self.row(step, total / count))
                    self.best.see(curve)
                total, count = 0.0, 0
                report(dict(curve[-1]))
            if checkpoints and self.worker.rank == 0 and done < self.steps:
                ends = stopping()
                if ends or checkpoints.due():
                    moments = optimizer_tensors(self.optimizer)
                    weights = self.network.state_dict()
                    checkpoints.save(Snapshot(done, weights, moments, curve, (total, count), self.memory()))
                if ends:
                    raise TrainingStopped(done)
        self.average.settle()
        self.best.settle()
        return curve

    def memory(self) -> dict[str, Tensor]:
        return self.objective.memory() | self.average.memory() | self.best.memory()

    def resume(self, checkpoints: Checkpoints | None) -> tuple[int, list[Row], tuple[float, int]]:
        snapshot = checkpoints.resume() if checkpoints else None
        step = snapshot.step if snapshot else 0
        if not self.worker.agree(step):
            raise RuntimeError("workers found different checkpoints; a folder must be shared by all of them")
        if snapshot is None:
            return 0, [], (0.0, 0)
        self.network.load_state_dict(snapshot.weights)
        load_optimizer(self.optimizer, snapshot.moments)
        for part in (self.objective, self.average, self.best):
            part.remember(snapshot.memory)
        return step, list(snapshot.curve), snapshot.losses

    def step(self, step: int) -> float:
        """Makes one optimizer step and returns the loss of its global batch."""
        lr = lr_at(step, self.steps, self.training)
        self.gradients.zero()
        rows = self.batch(step)
        kept = kept_of(self.network, self.training.dropout, len(rows), self.seed, step)
        self.accumulate(rows, alpha_at(step, self.steps, self.loss), kept)
        loss, norm = self.gradients.exchange(self.worker)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingDiverged(step + 1, lr)
        if 0 < self.training.clip < norm:
            self.gradients.scale(self.training.clip / norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.average.update(step + 1)
        return loss

    def batch(self, step: int) -> Rows:
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            inputs, size = self.problem.train, self.training.batch_size
            self.epoch, self.batches = epoch, epoch_batches(len(inputs), inputs.lengths, size, self.seed, epoch)
        return self.batches[place]

    def accumulate(self, rows: Rows, alpha: float, kept: Tensor | None) -> None:
        """Adds this worker's share of the gradient and of the loss of the global batch `rows`."""
        mine = share(len(rows), self.worker.rank, self.worker.size)
        places = cut(np.arange(len(rows))[mine], self.micro_batch or len(rows))
        if len(places) == 1 and self.worker.size == 1:
            logits = self.logits(rows, kept)
            self.gradients.add(self.objective.distance(logits, self.targets(rows, alpha, logits), alpha) / len(rows))
            return
        needed = self.objective.needs_predictions(alpha)
        own = self.own_predictions(rows, places, mine, kept) if needed else None
        targets = self.targets(rows, alpha, own)
        for part in places:
            logits = self.logits(rows[part], None if kept is None else kept[part])
            self.gradients.add(self.objective.distance(logits, targets[part], alpha) / len(rows))

    def own_predictions(self, rows: Rows, places: list[Rows], mine: slice, kept: Tensor | None) -> Tensor:
        """Returns the logits of a whole global batch, which no worker and no pass sees at once."""
        with torch.no_grad():
            logits = [self.logits(rows[part], None if kept is None else kept[part]) for part in places]
        empty = torch.empty(0, self.labels.shape[1], device=self.labels.device)
        return self.worker.gather(torch.cat([empty, *logits]), mine, len(rows))

    def targets(self, rows: Rows, alpha: float, logits: Tensor | None) -> Tensor:
        """Returns what the global batch `rows` is to learn, shape (rows, classes)."""
        return self.objective.targets(torch.from_numpy(rows).to(self.labels.device), alpha, logits)

    def logits(self, rows: Rows, kept: Tensor | None) -> Tensor:
        device = self.worker.device
        batch = self.problem.train.batch(rows, device)
        if kept is not None:
            batch["kept"] = kept.to(device)
        return logits_of(self.network, batch, device, self.training.precision)

    def row(self, step: int, train_loss: float) -> Row:
        row: Row = {
            "step": step + 1,
            "epoch": (step + 1) / self.per_epoch,
            "lr": lr_at(step, self.steps, self.training),
            "alpha": alpha_at(step, self.steps, self.loss),
            "train_loss": train_loss,
        }
        inputs, precision = self.problem.validation, self.training.precision
        size = 4096 if inputs.lengths is None else self.micro_batch or max(32, self.training.batch_size)
        return row | judge(self.network, inputs, self.problem.judges, self.worker, precision, size)


def _optimizer(trained: list[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    decayed = [parameter for parameter in trained if parameter.ndim >= 2]
    kept = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=training.lr, fused=True)
