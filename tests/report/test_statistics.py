import numpy as np
import pytest
from numpy.typing import NDArray

from w2s_ray.report.statistics import Interval, accuracy_interval, difference_interval, pgr_interval

Correct = NDArray[np.bool_]
N = 400


def right_on(fraction: float, seeds: int = 3, noise: float = 0.0) -> Correct:
    """Right on the first part of the examples; `noise` turns that share of the cells over."""
    table = np.broadcast_to(np.arange(N) < round(fraction * N), (seeds, N)).copy()
    table ^= np.random.default_rng(int(fraction * 1000)).random(table.shape) < noise
    return table


def limits(interval: Interval) -> tuple[float, float, float]:
    assert interval.low is not None
    assert interval.estimate is not None
    assert interval.high is not None
    return interval.low, interval.estimate, interval.high


def plain_variance(cells: NDArray[np.float64]) -> tuple[float, float]:
    """The twin: the two parts of the variance of a grand mean, cell by cell as the textbook has it."""
    seeds, examples = cells.shape
    grand = cells.mean()
    of_example = [cells[:, i].mean() for i in range(examples)]
    of_seed = [cells[s].mean() for s in range(seeds)]
    ms_examples = seeds * sum((mean - grand) ** 2 for mean in of_example) / (examples - 1)
    ms_seeds = examples * sum((mean - grand) ** 2 for mean in of_seed) / (seeds - 1)
    residuals = [cells[s, i] - of_seed[s] - of_example[i] + grand for s in range(seeds) for i in range(examples)]
    ms_rest = sum(value**2 for value in residuals) / ((seeds - 1) * (examples - 1))
    return (ms_examples - ms_rest) / (seeds * examples), ms_seeds / (seeds * examples)


@pytest.mark.parametrize(("student", "pgr"), [(0.6, 0.0), (0.8, 1.0), (0.7, 0.5), (0.55, -0.25), (0.9, 1.5)])
def test_the_pgr_of_constructed_predictions_is_exactly_known(student: float, pgr: float) -> None:
    low, estimate, high = limits(pgr_interval(right_on(0.6), right_on(student), right_on(0.8)))
    assert estimate == pytest.approx(pgr, abs=1e-12)
    assert low <= estimate <= high


@pytest.mark.parametrize("ceiling", [0.5, 0.6, 0.605], ids=["below", "equal", "hardly above"])
def test_pgr_is_undefined_where_the_ceiling_is_not_clearly_above_the_weak_model(ceiling: float) -> None:
    interval = pgr_interval(right_on(0.6, noise=0.1), right_on(0.7), right_on(ceiling, noise=0.1))
    assert interval == Interval(None, None, None)
    assert not interval.is_defined
    assert not interval.excludes_zero


def test_a_student_equal_to_its_supervisor_recovers_exactly_nothing() -> None:
    weak = right_on(0.6, noise=0.1)
    assert limits(pgr_interval(weak, weak, right_on(0.8, noise=0.1))) == pytest.approx((0, 0, 0), abs=1e-6)


def test_the_limits_are_where_the_linear_form_stops_being_clearly_different_from_0() -> None:
    tables = right_on(0.6, noise=0.05), right_on(0.7, noise=0.05), right_on(0.8, noise=0.05)
    weak, student, ceiling = (table.astype(float) for table in tables)
    low, _, high = limits(pgr_interval(*tables))
    for ratio, inside in [(low + 1e-4, True), (low - 1e-4, False), (high - 1e-4, True), (high + 1e-4, False)]:
        cells = student - weak - ratio * (ceiling - weak)
        examples, seeds = plain_variance(cells)
        # The t quantile at these shares lies between the normal one and the one of two degrees of freedom.
        t = abs(cells.mean()) / np.sqrt(examples + seeds)
        assert 1.9 < t < 4.31
        assert bool(abs(cells.mean()) <= half_width(cells)) is inside


def half_width(cells: NDArray[np.float64]) -> float:
    from scipy import stats

    examples, seeds = plain_variance(cells)
    variance = examples + seeds
    inverse = examples / variance / (cells.shape[1] - 1) + seeds / variance / (cells.shape[0] - 1)
    return float(stats.t.ppf(0.975, 1 / inverse) * np.sqrt(variance))


def test_a_difference_agrees_with_its_plain_twin() -> None:
    a, b = right_on(0.7, noise=0.1), right_on(0.6, noise=0.2)
    cells = a.astype(float) - b
    low, estimate, high = limits(difference_interval(a, b))
    assert estimate == pytest.approx(cells.mean())
    assert (high - low) / 2 == pytest.approx(half_width(cells))


def test_pairing_makes_a_difference_surer_than_two_accuracies() -> None:
    a, b = right_on(0.7, noise=0.02), right_on(0.68, noise=0.02)
    difference, accuracy = limits(difference_interval(a, b)), limits(accuracy_interval(a))
    assert difference[2] - difference[0] < accuracy[2] - accuracy[0]


def test_one_seed_gives_the_paired_interval_over_examples() -> None:
    a, b = right_on(0.7, seeds=1, noise=0.1), right_on(0.6, seeds=1)
    cells = (a.astype(float) - b)[0]
    low, _, high = limits(difference_interval(a, b))
    assert (high - low) / 2 == pytest.approx(1.966 * cells.std(ddof=1) / np.sqrt(N), rel=1e-3)
    assert limits(pgr_interval(right_on(0.6, 1), right_on(0.7, 1), right_on(0.8, 1)))[1] == pytest.approx(0.5)


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm = np.stack([right_on(0.70, 1)[0]] * 3)
    wild = np.stack([right_on(fraction, 1)[0] for fraction in (0.65, 0.70, 0.75)])
    weak, ceiling = right_on(0.6), right_on(0.8)
    widths = [(i[2] - i[0]) for i in (limits(pgr_interval(weak, s, ceiling)) for s in (calm, wild))]
    assert widths[1] > 1.5 * widths[0]


def test_more_confidence_is_a_wider_interval() -> None:
    tables = right_on(0.6, noise=0.05), right_on(0.7, noise=0.05), right_on(0.8, noise=0.05)
    inner, outer = limits(pgr_interval(*tables, confidence=0.8)), limits(pgr_interval(*tables, confidence=0.99))
    assert outer[0] < inner[0] < inner[2] < outer[2]


def test_an_accuracy_stays_between_0_and_1() -> None:
    almost = np.ones((3, N), dtype=bool)
    almost[0, 0] = False
    assert limits(accuracy_interval(almost))[2] <= 1
    assert limits(accuracy_interval(np.ones((3, N), dtype=bool))) == (1, 1, 1)


def test_models_tested_on_different_examples_are_refused() -> None:
    with pytest.raises(AssertionError, match="tested differently"):
        difference_interval(right_on(0.7), right_on(0.7)[:, 1:])
