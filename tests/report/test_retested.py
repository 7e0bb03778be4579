"""Intervals of a fall between splits and between seeds: closed forms where they exist, and coverage."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from w2s_ray.report.retested import seeds_difference, splits_difference
from w2s_ray.report.statistics import Interval

Cells = NDArray[np.float64]


def half(interval: Interval) -> float:
    assert interval.low is not None and interval.high is not None  # noqa: PT018
    return (interval.high - interval.low) / 2


def draw(rng: np.random.Generator, difficulty: Cells, seeds: int, luck: float | Cells, noise: float = 0.3) -> Cells:
    """Scores of seeds by examples; `luck` is the seeds' own, drawn if a number is given."""
    own = luck * rng.standard_normal(seeds) if isinstance(luck, float) else luck
    return difficulty + own[:, None] + noise * rng.standard_normal((seeds, len(difficulty)))


def covered(intervals: list[Interval]) -> float:
    """How often 0 lies within."""
    return float(np.mean([not one.excludes_zero for one in intervals]))


def test_one_seed_on_two_splits_is_the_difference_of_two_independent_means() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, 50)), rng.standard_normal((1, 80))
    parts = [a.var(ddof=1) / 50, b.var(ddof=1) / 80]
    df = sum(parts) / (parts[0] / 49 + parts[1] / 79)
    found = splits_difference(a, b)
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    assert half(found) == pytest.approx(t.ppf(0.975, df) * math.sqrt(sum(parts)))


def test_one_seed_and_another_are_paired_by_example() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 1, 60))
    spread = (a - b).std(ddof=1) / math.sqrt(60)
    assert half(seeds_difference(a, b)) == pytest.approx(t.ppf(0.975, 59) * spread)


def test_seeds_that_say_the_same_of_every_example_are_two_samples_with_one_spread() -> None:
    a, b = (np.repeat(values, 30, axis=1) for values in (np.array([[0.1], [0.5], [0.3]]), np.array([[0.2], [0.9]])))
    pooled = (2 * a[:, 0].var(ddof=1) + b[:, 0].var(ddof=1)) / 3
    expected = t.ppf(0.975, 3) * math.sqrt(pooled * (1 / 3 + 1 / 2))
    assert half(seeds_difference(a, b)) == pytest.approx(expected)


def test_a_seeds_own_level_falls_out_between_splits() -> None:
    rng, levels = np.random.default_rng(2), np.array([-5.0, 0.0, 5.0])
    a, b = draw(rng, np.zeros(40), 3, levels), draw(rng, np.zeros(40), 3, levels)
    assert half(splits_difference(a, b)) < 0.5


@pytest.mark.parametrize("luck", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("fresh", [1, 3])
def test_intervals_between_seeds_cover(luck: float, fresh: int) -> None:
    rng, found = np.random.default_rng(3), []
    for _ in range(1500):
        difficulty = rng.standard_normal(60)
        found.append(seeds_difference(draw(rng, difficulty, 3, luck), draw(rng, difficulty, fresh, luck)))
    assert covered(found) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("luck", [0.0, 0.5])
def test_intervals_between_splits_cover(luck: float) -> None:
    rng, found = np.random.default_rng(4), []
    for _ in range(1500):
        own = luck * rng.standard_normal(3)
        a, b = (draw(rng, rng.standard_normal(number), 3, own) for number in (40, 90))
        found.append(splits_difference(a, b))
    assert covered(found) == pytest.approx(0.95, abs=0.025)
