"""Learning curves, and where a training would best have stopped: overfitting to the weak supervisor's errors.

A student that first learns the concept and then its supervisor's errors has an accuracy that rises and falls while its
agreement with the weak labels still rises. Three ends of one training are compared (Burns et al., arXiv 2312.09390,
section 5.1.1): the last step, the step of the best agreement with the weak labels, and the step of the best accuracy,
which needs ground truth and so is a cheat that bounds what stopping could give. All are measured on the validation
split that the curve was recorded on, so the last of the three is the largest of several noisy numbers and a little too
high.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ACCURACY, AGREEMENT = "validation_accuracy", "validation_agreement"
Curve = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Stop:
    """The end of a training, as means over the seeds, each of which stops at its own step."""

    step: float
    accuracy: float
    agreement: float | None


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """A training under all seeds.

    Attributes:
        steps: optimizer steps at which all seeds were validated, counted from 1; shape (k,).
        accuracy: against ground truth, mean over the seeds; shape (k,).
        agreement: with the weak labels, likewise; None for a model that learned from ground truth.
        weak_stopped: None without agreement.
    """

    steps: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    agreement: NDArray[np.float64] | None
    last: Stop
    weak_stopped: Stop | None
    truth_stopped: Stop


def learning_curve(seeds: Sequence[Curve]) -> LearningCurve:
    """Puts the curves of one model's seeds together.

    Args:
        seeds: for each seed the rows of its `curve.jsonl`, by step.

    Raises:
        ValueError: the seeds were validated at no common step, so that their curves have no mean.
    """
    steps = sorted(set.intersection(*({int(row["step"]) for row in curve} for curve in seeds)))
    if not steps:
        raise ValueError(f"seeds were validated at no common step: {[[row['step'] for row in one] for one in seeds]}")
    has_agreement = all(AGREEMENT in row for curve in seeds for row in curve)
    return LearningCurve(
        steps=np.array(steps),
        accuracy=_mean(seeds, ACCURACY, steps),
        agreement=_mean(seeds, AGREEMENT, steps) if has_agreement else None,
        last=_stop(seeds, np.array([len(curve) - 1 for curve in seeds])),
        weak_stopped=_stop(seeds, _best(seeds, AGREEMENT)) if has_agreement else None,
        truth_stopped=_stop(seeds, _best(seeds, ACCURACY)),
    )


def _mean(seeds: Sequence[Curve], column: str, steps: Sequence[int]) -> NDArray[np.float64]:
    """Returns a column's mean over the seeds at each of the common `steps`."""
    by_step = [{int(row["step"]): float(row[column]) for row in curve} for curve in seeds]
    means: NDArray[np.float64] = np.array([[one[step] for step in steps] for one in by_step]).mean(axis=0)
    return means


def _best(seeds: Sequence[Curve], column: str) -> NDArray[np.int64]:
    """Returns for each seed the row with the largest value; of equals, the earliest."""
    return np.array([np.argmax([row[column] for row in curve]) for curve in seeds])


def _stop(seeds: Sequence[Curve], places: NDArray[np.int64]) -> Stop:
    rows = [curve[place] for curve, place in zip(seeds, places.tolist(), strict=True)]
    agreements = [row[AGREEMENT] for row in rows if AGREEMENT in row]
    return Stop(
        step=float(np.mean([row["step"] for row in rows])),
        accuracy=float(np.mean([row[ACCURACY] for row in rows])),
        agreement=float(np.mean(agreements)) if agreements else None,
    )
