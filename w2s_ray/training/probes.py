"""Probes that are fitted at once instead of step by step, on frozen features and soft labels; nothing is random.

    logistic: least of mean CE(softmax(W x + b), w) + l2 / 2 · ‖W‖²          kNN: f(x) = mean of w over the k nearest

The logistic probe is convex and is run to its minimum by L-BFGS in float64. It is scikit-learn's LogisticRegression at
C = 1 / (l2 · n), but learns from soft labels. Both are what EleutherAI/w2s uses to relabel and filter; there a training
point is its own nearest neighbour and so confirms its own label, here it never counts for itself.

Every worker fits the same probe by itself; only the validation is divided. There is nothing to resume.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from w2s_ray.models.head import LinearHead
from w2s_ray.models.neighbours import Neighbours
from w2s_ray.training.checkpoints import Row
from w2s_ray.training.judge import judge
from w2s_ray.training.loop import Problem
from w2s_ray.training.losses.confidence import cross_entropy
from w2s_ray.training.losses.objective import smooth
from w2s_ray.training.worker import Worker

_SIZE = 1024
_MOST_STEPS = 5000


def fit_probe(
    network: LinearHead | Neighbours,
    problem: Problem,
    l2: float,
    smoothing: float,
    worker: Worker,
    report: Callable[[Row], None],
) -> list[Row]:
    """Fits a probe and returns its learning curve, which is one row; `train_loss` is the mean cross entropy.

    Args:
        network: changed in place.
        problem: its `train` are features.
        l2: of a logistic probe.
        smoothing: of the labels.
        worker: which of how many.
        report: called with the row.
    """
    rows = np.arange(len(problem.train), dtype=np.int64)
    batch = problem.train.batch(rows, "cpu")
    targets = smooth(torch.from_numpy(problem.labels.probabilities), smoothing)
    if isinstance(network, LinearHead):
        fit_logistic(network, batch["features"], targets, l2)
    else:
        network.fit(batch["features"], targets)
    network.to(worker.device)
    with torch.no_grad():
        parts = [
            cross_entropy(network(problem.train.batch(part, worker.device)).cpu(), targets[part])
            for part in np.array_split(rows, -(-len(rows) // _SIZE))
        ]
    row: Row = {"step": 1, "epoch": 1.0, "lr": 0.0, "alpha": 0.0, "train_loss": float(sum(parts)) / len(rows)}
    row |= judge(network, problem.validation, problem.judges, worker, "float32", _SIZE)
    report(dict(row))
    return [row]


def fit_logistic(head: LinearHead, features: Tensor, targets: Tensor, l2: float) -> None:
    """Puts the weights of the logistic probe into `head`, whose standardization it uses.

    Args:
        head: its present weights do not matter.
        features: (n, width).
        targets: soft labels, (n, classes).
        l2: weight of the penalty, above 0; biases are free.
    """
    inputs = ((features - head.mean.cpu()) / head.deviation.cpu()).double()
    wanted = targets.double()
    # L-BFGS works on U of W = U root^-1, in which the loss is nearly round: it asks for it 26 times instead of 1,600.
    curvature = inputs.T @ inputs / (4 * len(inputs))
    root = torch.linalg.cholesky(curvature + l2 * torch.eye(len(curvature), dtype=torch.float64))
    rounded = torch.linalg.solve_triangular(root, inputs.T, upper=False).T
    changed = torch.zeros_like(head.linear.weight, dtype=torch.float64, device="cpu", requires_grad=True)
    bias = torch.zeros(len(changed), dtype=torch.float64, requires_grad=True)

    def weight() -> Tensor:
        back: Tensor = torch.linalg.solve_triangular(root, changed, upper=False, left=False)
        return back

    solver = torch.optim.LBFGS(
        [changed, bias],
        max_iter=_MOST_STEPS,
        tolerance_grad=1e-8,
        tolerance_change=1e-14,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = cross_entropy(rounded @ changed.T + bias, wanted) / len(inputs) + l2 / 2 * weight().square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.linear.weight.copy_(weight())
        head.linear.bias.copy_(bias)
