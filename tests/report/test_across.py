"""Over many tasks: medians and means of what each task came to, with intervals that hold for few tasks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from w2s_ray.report.across import across, across_sheet, mean_interval, median_interval
from w2s_ray.report.answers import Report, answers

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


@pytest.fixture
def report_of(make_world: Callable[..., World], right_on: RightOn) -> Callable[[int, float], Report]:
    """The report of a task whose naive student recovers a share of the gap between 0.6 and 0.8."""

    def make(seeds: int, share: float) -> Report:
        world = make_world(seeds=seeds)
        world.trial("naive", right_on(0.6 + 0.2 * share), default=True)
        return answers(world.record())

    return make


def test_the_median_and_the_mean_are_over_tasks(report_of: Callable[[int, float], Report]) -> None:
    rows = across([report_of(seeds, share) for seeds, share in ((1, 0.1), (2, 0.2), (3, 0.9))])
    naive = next(row for row in rows if row.method == "naive")
    assert (naive.num_tasks, naive.num_defined) == (3, 3)
    assert naive.median == pytest.approx(0.2)
    assert naive.mean == pytest.approx(0.4)
    assert naive.accuracy == pytest.approx(0.64)
    assert (naive.weak, naive.ceiling) == pytest.approx((0.6, 0.8))
    assert not naive.median_interval.is_defined, "three tasks have no 95 % interval of the median"
    assert across_sheet(rows).shown()[0][-2] == "0.2"


def test_a_task_without_a_gap_is_counted_and_says_nothing(make_world: Callable[..., World], right_on: RightOn) -> None:
    reports = []
    for seeds, models in ((1, (0.6, 0.8)), (2, (0.7, 0.7))):
        world = make_world(seeds=seeds)
        world.trial("naive", right_on(0.7), default=True, models=models)
        reports.append(answers(world.record()))
    naive = next(row for row in across(reports) if row.method == "naive")
    assert (naive.num_tasks, naive.num_defined) == (2, 1)
    assert naive.median == pytest.approx(0.5)


def test_one_task_has_nothing_over_tasks(report_of: Callable[[int, float], Report]) -> None:
    assert across([report_of(1, 0.5)]) == ()


@pytest.mark.parametrize(("count", "limits"), [(5, None), (6, (0, 5)), (9, (1, 7)), (22, (5, 16))])
def test_the_limits_of_a_median_are_those_of_the_sign_test(count: int, limits: tuple[int, int] | None) -> None:
    found = median_interval([float(value) for value in reversed(range(count))])
    assert (found.low, found.high) == (limits or (None, None))


def test_both_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw = np.random.default_rng(0)
    tasks = [list(map(float, draw.normal(0.3, 0.2, size=22))) for _ in range(400)]
    for interval, low, high in ((mean_interval, 0.92, 0.98), (median_interval, 0.93, 1.0)):
        found = [interval(values) for values in tasks]
        assert low <= np.mean([(one.low or 0) <= 0.3 <= (one.high or 0) for one in found]) <= high
