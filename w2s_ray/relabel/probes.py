"""What a simple probe on the strong model's frozen features makes of the weak labels, out of fold.

Every example is judged by a probe that has not seen its label: the examples are divided into folds by content, and a
fold is predicted from the others. (EleutherAI's released code predicts a probe's own training points, where the nearest
neighbour of each is itself.) Features are standardized with the other folds' mean and deviation; kNN is Euclidean.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from w2s_ray.labels import Labels
from w2s_ray.relabel.change import best_of_each_class, only
from w2s_ray.relabel.draws import parts_of

FOLDS = 5
_TOGETHER = 1024  # rows whose distances to all others are held at once
_ITERATIONS = 200

Array = NDArray[np.float64]
Probe = Callable[[Array, Array, Array], Array]
"""From features (m, width) and soft labels (m, classes) to the probabilities (n, classes) of other features."""


def relabel(labels: Labels, features: NDArray[np.float32], probe: Probe) -> Labels:
    """Returns each example's out-of-fold probabilities; `features` (n, width) are in the order of the labels."""
    return Labels(labels.ids, out_of_fold(labels, features, probe).astype(np.float32), labels.origin)


def drop_suspects(labels: Labels, features: NDArray[np.float32], probe: Probe, dropped: float) -> Labels:
    """Returns the labels without the share `dropped` of each labelled class that the probe believes least."""
    believed = out_of_fold(labels, features, probe)[np.arange(len(labels.ids)), labels.classes]
    kept = np.zeros(len(labels.ids), dtype=np.bool_)
    kept[best_of_each_class(labels, believed, 1 - dropped)] = True
    return only(labels, kept)


def out_of_fold(labels: Labels, features: NDArray[np.float32], probe: Probe) -> Array:
    """Returns the probabilities (n, classes) that probes give which saw other folds only.

    Raises:
        ValueError: there are too few examples for folds.
    """
    folds = parts_of(labels.ids, FOLDS, "fold")
    targets = labels.probabilities.astype(np.float64)
    found = np.empty_like(targets)
    for fold in np.unique(folds):
        here, others = folds == fold, folds != fold
        if not others.any():
            raise ValueError(f"a probe needs more than the {len(folds)} examples there are; drop labels.probe")
        center, scale = features[others].mean(axis=0), features[others].std(axis=0)
        standard = ((features - center) / np.where(scale > 1e-6, scale, 1)).astype(np.float64)
        found[here] = probe(standard[others], targets[others], standard[here])
    return found


def neighbours(count: int) -> Probe:
    """Returns a probe that takes the mean soft label of the `count` nearest examples, or of all if they are fewer."""

    def probe(known: Array, targets: Array, asked: Array) -> Array:
        nearest = min(count, len(known))
        squares = (known**2).sum(axis=1)
        found = []
        for start in range(0, len(asked), _TOGETHER):
            # The asked point's own square is the same for all of its distances.
            distances = squares - 2 * asked[start : start + _TOGETHER] @ known.T
            rows = np.argpartition(distances, nearest - 1, axis=1)[:, :nearest]
            found.append(targets[rows].mean(axis=1))
        return np.concatenate(found)

    return probe


def logistic(l2: float) -> Probe:
    """Returns a logistic regression: mean cross entropy to the soft labels + l2 / 2 · |W|², the bias left free."""

    def probe(known: Array, targets: Array, asked: Array) -> Array:
        shape = (known.shape[1] + 1, targets.shape[1])

        def loss(flat: Array) -> tuple[float, Array]:
            weights = flat.reshape(shape)
            logits = known @ weights[:-1] + weights[-1]
            off = (softmax(logits, axis=1) - targets) / len(known)
            gradient = np.vstack([known.T @ off + l2 * weights[:-1], off.sum(axis=0)])
            entropy = -(targets * log_softmax(logits, axis=1)).sum() / len(known)
            return float(entropy + l2 / 2 * (weights[:-1] ** 2).sum()), gradient.ravel()

        fitted = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
        weights = np.asarray(fitted.x).reshape(shape)
        return np.asarray(softmax(asked @ weights[:-1] + weights[-1], axis=1))

    return probe
