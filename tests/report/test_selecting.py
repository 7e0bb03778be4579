from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from w2s_ray.report import bench
from w2s_ray.report.analyses import analyse
from w2s_ray.report.selecting import cross_entropy, seed_agreement, trusted_choice

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


def model_of(right: np.ndarray, sure: float) -> bench.Tested:
    """A model whose truth is class 0 everywhere, right where told; `right` has shape (seeds, n)."""
    first = np.where(right, sure, 1 - sure)
    probabilities = np.stack([first, 1 - first], axis=2).astype(np.float32)
    return bench.Tested(np.arange(right.shape[1]).astype(str), np.zeros(right.shape[1], dtype=np.int64), probabilities)


def test_a_small_trusted_set_mostly_finds_a_clearly_better_student_and_not_always_a_slightly_better_one() -> None:
    good, fair, bad = (model_of(np.arange(1000)[None] < count, 0.9) for count in (800, 780, 500))
    assert trusted_choice([bad, good], 100, seed=0)[1] > 0.99
    shares = trusted_choice([good, fair], 100, seed=0)
    assert 0.5 < shares[0] < 0.95
    assert shares.sum() == pytest.approx(1)


def test_all_of_the_truth_as_trusted_set_is_the_oracle_and_draws_are_seeded() -> None:
    students = [model_of(np.arange(200)[None] < count, 0.9) for count in (100, 101, 99)]
    assert trusted_choice(students, 200, seed=0).tolist() == [0, 1, 0]
    assert trusted_choice(students, 50, seed=3).tolist() == trusted_choice(students, 50, seed=3).tolist()


def test_equally_good_students_share_every_draw() -> None:
    same = model_of(np.arange(100)[None] < 60, 0.9)
    assert trusted_choice([same, same], 10, seed=0).tolist() == [0.5, 0.5]


def test_cross_entropy_to_weak_labels_is_that_of_worked_numbers() -> None:
    weak, student = model_of(np.ones((1, 3), dtype=bool), 0.75), model_of(np.ones((1, 3), dtype=bool), 0.5)
    assert cross_entropy(student, weak) == pytest.approx(np.log(2), rel=1e-5)
    assert cross_entropy(weak, weak) < cross_entropy(student, weak)


def test_seeds_agree_on_what_both_have_right_and_both_have_wrong() -> None:
    right = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]], dtype=bool)
    assert seed_agreement(model_of(right, 0.9)) == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_every_way_to_choose_is_tested_and_the_oracle_regrets_nothing(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.66), oracle=0.70, weak=0.95, default=True)
    world.trial("confidence", right_on(0.74), oracle=0.78, weak=0.80, default=True)
    analysis = analyse(world.record()).pairings[0]
    choices = {choice.way: choice for choice in analysis.choices}
    assert list(choices) == [
        "all of ground truth (oracle)", "40 trusted labels", "agreement with weak labels",
        "cross entropy to weak labels", "agreement between seeds", "no choice: the methods' defaults",
        "no choice: the naive default", "no choice: any finished trial",
    ]  # fmt: skip
    assert choices["all of ground truth (oracle)"].regret.estimate == 0
    assert choices["agreement with weak labels"].trial == 0
    assert choices["agreement with weak labels"].regret.estimate == pytest.approx(0.08)
    assert choices["no choice: the methods' defaults"].accuracy == pytest.approx(0.70)
    assert choices["no choice: the methods' defaults"].trial is None


def test_the_comparison_of_choices_tells_the_same_as_the_answer(full_world: World) -> None:
    for pairing in analyse(full_world.record()).pairings:
        choices = {choice.way: choice for choice in pairing.choices}
        selection = pairing.answer.selection
        assert selection is not None
        weak = choices["agreement with weak labels"]
        assert (weak.trial, weak.accuracy) == (selection.weak, pytest.approx(selection.weak_accuracy))
        assert weak.regret == selection.regret
        assert choices["all of ground truth (oracle)"].trial == selection.oracle


def test_one_seed_has_no_other_to_agree_with(make_world: Any, right_on: RightOn) -> None:
    world = make_world(seeds=1)
    world.trial("naive", right_on(0.66))
    ways = [choice.way for choice in analyse(world.record()).pairings[0].choices]
    assert "agreement between seeds" not in ways


def test_the_winners_optimism_is_what_the_mean_trial_does_not_share(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.70), oracle=0.72)
    world.trial("naive", right_on(0.70), oracle=0.78)
    found = analyse(world.record()).pairings[0].optimism
    assert found is not None
    assert (found.trial, found.validation, found.test) == (1, 0.78, pytest.approx(0.70))
    assert found.of_the_winner == pytest.approx(0.03)
