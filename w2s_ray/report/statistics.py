"""How sure one can be of an accuracy, a difference of two, and a performance gap recovered (PGR).

Every model of a pairing is trained with the same seeds and tested on the same examples, so correctness is a table of
seeds by examples and both are samples: another test set and other seeds would give other numbers. Examples are crossed
with seeds (what is hard for one seed is hard for all), so the variance of a grand mean has two parts, both from the
two-way analysis of variance: the spread of the examples' means and the spread of the seeds' means. Everything is
paired: a difference, or the linear form S - W - r (C - W) behind a PGR of r, is formed within each cell.

**Student's t.** Three seeds give their part two degrees of freedom; where seeds dominate, a normal quantile covers 81 %
instead of 95 %. Satterthwaite's rule (the seeds' df over the squared share of the variance that is theirs) dips to
92 %, Cochran's weighted t goes up to 97 %. Here 1/df is the mean of the parts' 1/df, weighted with their shares of the
variance: 94.2 to 96.3 % at 3 seeds whatever the share, 94.9 to 96.1 % at 5, but down to 91 % at 2 (400,000 draws at
each of 13 shares). With one seed only the examples are seen to vary, and the interval speaks of these trained models
alone. A bootstrap over three seeds was left out: like the normal quantile, it is too narrow.

**Ratios.** The limits of PGR are Fieller's: all r for which S - W - r (C - W) is not clearly different from 0. They are
as exact as the linear form's own limits, and finite exactly where the gap C - W is clearly not 0. On simulated sweeps
(4,300 test examples, a gap of 4 points, 3 or 5 seeds, true PGR 0, 0.3 and 0.8) the defined intervals cover 94.0 to
96.6 %. PGR is undefined in none of them where seeds hardly matter, in 1 % where they spread a model by 0.4 points, and
with 3 seeds in 38 % where they spread it by 1.2 points (5 % with 5 seeds). One seed covers 91 % where seeds spread by
0.4 points: its interval leaves them out. See tests/report/test_coverage.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

Correct = NDArray[np.bool_] | NDArray[np.float64]
"""Correctness with shape (seeds, examples); a number from 0 to 1 is the mean over several models of a cell."""

_Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits; all three are None where it is undefined."""

    estimate: float | None
    low: float | None
    high: float | None

    @property
    def is_defined(self) -> bool:
        """Whether there is an estimate."""
        return self.estimate is not None

    @property
    def excludes_zero(self) -> bool:
        """Whether both limits lie on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def named(self, name: str) -> dict[str, float | None]:
        """Returns the estimate as `name` and the limits as `name_low` and `name_high`."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}


UNDEFINED = Interval(None, None, None)


@dataclass(frozen=True)
class _Moments:
    """Of k models: means, and the two parts of the covariance of these means with their degrees of freedom."""

    means: NDArray[np.float64]  # (k,)
    examples: NDArray[np.float64]  # (k, k)
    seeds: NDArray[np.float64]  # (k, k); zero for one seed
    num_examples: int
    num_seeds: int

    def mean(self, weights: _Weights) -> float:
        """Returns the mean of the linear form with `weights` over the models."""
        return float(weights @ self.means)

    def half_width(self, weights: _Weights, confidence: float) -> float:
        """Returns half the length of the t interval around that mean."""
        examples = max(0.0, float(weights @ self.examples @ weights))
        seeds = max(0.0, float(weights @ self.seeds @ weights))
        variance = examples + seeds
        if variance == 0:
            return 0.0
        inverse_df = (examples / (self.num_examples - 1) + seeds / max(1, self.num_seeds - 1)) / variance
        return float(stdtrit(1 / inverse_df, (1 + confidence) / 2)) * math.sqrt(variance)


def accuracy_interval(correct: Correct, confidence: float = 0.95) -> Interval:
    """Returns mean accuracy with limits within [0, 1].

    Args:
        correct: shape (seeds, examples), at least two examples.
        confidence: within (0, 1).
    """
    moments = _moments(correct)
    interval = _t_interval(moments, np.array([1.0]), confidence)
    assert interval.low is not None
    assert interval.high is not None
    return Interval(interval.estimate, max(0.0, interval.low), min(1.0, interval.high))


def difference_interval(a: Correct, b: Correct, confidence: float = 0.95) -> Interval:
    """Returns mean accuracy of `a` minus that of `b`, paired over seeds and examples; shapes (seeds, examples)."""
    return _t_interval(_moments(a, b), np.array([1.0, -1.0]), confidence)


def pgr_interval(weak: Correct, student: Correct, ceiling: Correct, confidence: float = 0.95) -> Interval:
    """Returns (mean S - mean W) / (mean C - mean W) with Fieller limits, paired over seeds and examples.

    Undefined, not infinite, where the ceiling is not clearly above the weak model: where the interval of the gap
    C - W at the same confidence does not lie above 0. The source of PGR is Burns et al., arXiv 2312.09390, section 3.

    Args:
        weak: correctness of the weak supervisor, shape (seeds, examples), at least two examples.
        student: of the student of each weak supervisor, same shape.
        ceiling: of the strong model trained on ground truth, same shape.
        confidence: within (0, 1).
    """
    moments = _moments(weak, student, ceiling)
    gap = _t_interval(moments, np.array([-1.0, 0.0, 1.0]), confidence)
    if gap.estimate is None or gap.low is None or gap.low <= 0:
        return UNDEFINED
    estimate = moments.mean(np.array([-1.0, 1.0, 0.0])) / gap.estimate

    def outside(ratio: float) -> float:
        weights = np.array([ratio - 1, 1.0, -ratio])
        return abs(moments.mean(weights)) - moments.half_width(weights, confidence)

    # How far the limits would be if the gap were known without error.
    reach = -outside(estimate) / gap.estimate
    return Interval(estimate, _limit(outside, estimate, -reach), _limit(outside, estimate, reach))


def _moments(*models: Correct) -> _Moments:
    """Splits the covariance of the models' means by the two-way analysis of variance without replication."""
    assert len({model.shape for model in models}) == 1, f"models were tested differently: {[m.shape for m in models]}"
    cells = np.stack(models).astype(np.float64)
    count, seeds, examples = cells.shape
    assert seeds >= 1, "no seed"
    assert examples >= 2, "an interval needs at least two test examples"
    means = cells.mean(axis=(1, 2))
    cells -= means[:, None, None]
    of_examples, of_seeds = cells.mean(axis=1), cells.mean(axis=2)
    ss_examples, ss_seeds = seeds * of_examples @ of_examples.T, examples * of_seeds @ of_seeds.T
    if seeds == 1:
        return _Moments(means, ss_examples / (examples * (examples - 1)), np.zeros((count, count)), examples, 1)
    flat = cells.reshape(count, -1)
    ms_interaction = (flat @ flat.T - ss_examples - ss_seeds) / ((examples - 1) * (seeds - 1))
    # The seeds' mean square already holds the interaction, so it is taken off the examples' part alone.
    part_examples = (ss_examples / (examples - 1) - ms_interaction) / (examples * seeds)
    return _Moments(means, part_examples, ss_seeds / ((seeds - 1) * examples * seeds), examples, seeds)


def _t_interval(moments: _Moments, weights: _Weights, confidence: float) -> Interval:
    mean, half = moments.mean(weights), moments.half_width(weights, confidence)
    return Interval(mean, mean - half, mean + half)


def _limit(outside: Callable[[float], float], estimate: float, reach: float) -> float:
    """Returns the end of the Fieller set in the direction of `reach`; it is finite because the gap is clearly not 0."""
    # At the estimate the linear form is 0 up to rounding; where its variance is too, the set is a point.
    if outside(estimate) >= 0:
        return estimate
    while outside(estimate + reach) <= 0:
        reach *= 1.5
    return float(brentq(outside, estimate, estimate + reach, xtol=1e-6))
