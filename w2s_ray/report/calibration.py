"""Calibration: whether a model that is 80 % sure is right in 80 % of the cases.

The expected calibration error (ECE) sorts the examples of one seed by the probability of the predicted class, cuts them
into bins of equal mass (equal widths leave most bins nearly empty where a model is sure of itself) and averages the
distance between mean confidence and accuracy over the bins (Guo et al., arXiv 1706.04599, with the bins of Nixon et
al., arXiv 1904.01685). Even a perfectly calibrated model scores above 0 on a finite test split, since a bin's accuracy
is a sample; what it would score on average is given beside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s_ray.report.bench import Tested

_BINS, _CURVE_BINS = 15, 10


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far confidence and accuracy of a model lie apart.

    Attributes:
        ece: from 0 to 1, mean over the seeds.
        ece_if_perfect: what a perfectly calibrated model with these confidences would score on average.
        overconfidence: mean confidence minus accuracy, from -1 to 1.
        confidence, accuracy: of the bins of the reliability curve, all seeds pooled; shape (bins,).
    """

    ece: float
    ece_if_perfect: float
    overconfidence: float
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def calibration(tested: Tested) -> Calibration:
    """Measures how well the probabilities of a model under all seeds fit its accuracy."""
    sure = tested.probabilities.max(axis=2).astype(np.float64)
    right = tested.correct
    errors = [expected_error(*pair) for pair in zip(sure, right, strict=True)]
    confidence, accuracy, _ = binned(sure.ravel(), right.ravel(), _CURVE_BINS)
    return Calibration(
        ece=float(np.mean(errors)),
        ece_if_perfect=float(np.mean([_error_if_perfect(one) for one in sure])),
        overconfidence=float(sure.mean() - right.mean()),
        confidence=confidence,
        accuracy=accuracy,
    )


def expected_error(sure: NDArray[np.float64], right: NDArray[np.bool_], bins: int = _BINS) -> float:
    """Returns the ECE of confidences `sure` and correctness `right`, both of shape (n,), with bins of equal mass."""
    confidence, accuracy, mass = binned(sure, right, bins)
    return float(mass @ np.abs(confidence - accuracy))


def binned(
    sure: NDArray[np.float64], right: NDArray[np.bool_], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns mean confidence, accuracy and share of each bin, in rising confidence; fewer bins than examples."""
    parts = np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure)))
    mass = np.array([len(part) / len(sure) for part in parts])
    return np.array([sure[part].mean() for part in parts]), np.array([right[part].mean() for part in parts]), mass


def _error_if_perfect(sure: NDArray[np.float64], bins: int = _BINS) -> float:
    """Returns the mean of |normal| with the variance that the accuracy of each bin then has, averaged over bins."""
    variance = sure * (1 - sure)
    parts = np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure)))
    return float(sum(len(p) * np.sqrt(2 / np.pi * variance[p].mean() / len(p)) for p in parts) / len(sure))
