"""Operations on the weak labels of the student's half. None knows of validation or test: those keep their labels.

Only `put_truth` reads ground truth; what it returns says so in its origin. None of these is in Burns et al.'s main
results; label noise and confidence thresholds are among the negatives of its appendix B.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2s_ray.labels import Labels, partly_true
from w2s_ray.relabel.draws import Rows, places, ranked

_SMALLEST = 1e-12  # of a probability whose logarithm is taken


def mean(several: Sequence[Labels]) -> Labels:
    """Returns the mean of several supervisors' probabilities, in the order of the first.

    Raises:
        KeyError: one of them lacks an example that the first has.
    """
    first = several[0]
    total = sum(one.of(first.ids).probabilities.astype(np.float64) for one in several)
    return _with(first, np.asarray(total) / len(several))


def temper(labels: Labels, temperature: float) -> Labels:
    """Returns p^(1/T), normalized: below 1 labels get surer, above 1 less sure; the most probable class stays."""
    logs = np.log(np.maximum(labels.probabilities.astype(np.float64), _SMALLEST)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return _with(labels, raised / raised.sum(axis=1, keepdims=True))


def harden(labels: Labels) -> Labels:
    """Returns one-hot labels of the most probable class; of equally probable ones the example's content decides.

    The released code gives every tie to class 0, which biases a supervisor that is unsure of many.
    """
    best = labels.probabilities == labels.probabilities.max(axis=1, keepdims=True)
    wanted = np.floor(places(labels.ids, "tie") * best.sum(axis=1)).astype(np.int64)  # which of the best ones
    classes = (np.cumsum(best, axis=1) - 1 == wanted[:, None]) & best
    return _with(labels, classes.astype(np.float64))


def keep_confident(labels: Labels, share: float) -> Labels:
    """Returns the surest `share` of each labelled class, at least one example of it, in their order (appendix B).

    Within each class, so that the classes keep their shares: a supervisor is often surer of one than of the others.
    """
    return _select(labels, best_of_each_class(labels, labels.probabilities.max(axis=1), share))


def best_of_each_class(labels: Labels, scores: NDArray[np.floating], share: float) -> Rows:
    """Returns the rows, in order, of the `share` of each labelled class with the highest scores (n,), at least one."""
    chosen = []
    for number in np.unique(labels.classes):
        rows = np.flatnonzero(labels.classes == number)
        order = ranked(-scores[rows].astype(np.float64), labels.ids[rows], "keep")
        chosen.append(rows[order[: max(1, round(share * len(rows)))]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def put_truth(labels: Labels, truth: Labels, fraction: float, seed: int) -> Labels:
    """Returns the labels with a random `fraction` of them replaced by `truth`; the origin says so.

    Raises:
        KeyError: `truth` lacks an example.
    """
    rows = ranked(places(labels.ids, f"truth {seed}"), labels.ids, "")[: round(fraction * len(labels.ids))]
    probabilities = labels.probabilities.copy()
    probabilities[rows] = truth.of(labels.ids).probabilities[rows]
    return Labels(labels.ids, probabilities, partly_true(labels.origin))


def flip(labels: Labels, rows: Rows, seed: int) -> Labels:
    """Returns the labels with those of `rows` made wrong: their top probability changes places with another class's.

    With two classes that is the other one; with more, one drawn for each example.
    """
    count = labels.probabilities.shape[1]
    chosen = labels.classes[rows]
    steps = 1 + np.floor(places(labels.ids[rows], f"class {seed}") * (count - 1)).astype(np.int64)
    other = (chosen + steps) % count
    probabilities = labels.probabilities.copy()
    probabilities[rows, chosen] = labels.probabilities[rows, other]
    probabilities[rows, other] = labels.probabilities[rows, chosen]
    return _with(labels, probabilities)


def only(labels: Labels, wanted: NDArray[np.bool_]) -> Labels:
    """Returns the labels where `wanted` (n,) is true."""
    return _select(labels, np.flatnonzero(wanted).astype(np.int64))


def _with(labels: Labels, probabilities: NDArray[np.floating]) -> Labels:
    return Labels(labels.ids, probabilities.astype(np.float32), labels.origin)


def _select(labels: Labels, rows: Rows) -> Labels:
    return Labels(labels.ids[rows], labels.probabilities[rows], labels.origin)
