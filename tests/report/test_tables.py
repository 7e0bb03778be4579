from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from w2s_ray.report import answers, print_report, to_markdown
from w2s_ray.report.statistics import UNDEFINED, Interval
from w2s_ray.report.wording import percent, points, ratio, settings

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


def printed(world: World, width: int = 120) -> str:
    out = StringIO()
    print_report(answers(world.record()), Console(file=out, width=width))
    return " ".join(out.getvalue().split())


def test_the_markdown_begins_with_the_answer(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.65), oracle=0.6, default=True)
    world.trial("confidence", right_on(0.75), oracle=0.8)
    text = to_markdown(answers(world.record()))
    head = text[: text.index("## Numbers")]
    assert "**a→c**: confidence, best on validation, recovers 0.75 [" in head
    assert "(weak 60.0 %, student 75.0 %, ceiling 80.0 %)" in head
    assert "It beats the naive default at 95 %: +10.0 points [" in head


def test_a_difference_that_may_be_chance_is_not_called_a_win(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.700), oracle=0.6, default=True)
    world.trial("confidence", right_on(0.705), oracle=0.8)
    assert "makes no clear difference at 95 %: +0.5 points" in to_markdown(answers(world.record()))


def test_a_best_that_is_worse_on_test_is_called_worse(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.75), oracle=0.6, default=True)
    world.trial("confidence", right_on(0.65), oracle=0.8)
    assert "It is worse than the naive default at 95 %: -10.0 points" in to_markdown(answers(world.record()))


def test_the_naive_default_is_not_compared_with_itself(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.75), default=True)
    assert "That is the naive default itself" in to_markdown(answers(world.record()))


def test_an_undefined_pgr_is_explained(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7), models=(0.6, 0.6))
    text = to_markdown(answers(world.record()))
    assert "its PGR is undefined" in text
    assert "PGR is undefined because the ceiling is not clearly above the weak model: 0.0 points" in text


def test_the_notes_tell_choice_seeds_counts_and_what_is_missing(full_world: World, right_on: RightOn) -> None:
    text = to_markdown(answers(full_world.record()))
    assert "against ground truth (oracle). The test split of 400 examples took part in no choice" in text
    assert "over test examples and seeds 0, 1, 2 together" in text
    assert "None is corrected for there being 6 of them" in text
    assert "Trials: 22 complete, 1 failed, 1 pruned, of 20 asked for." in text
    assert "Having ground truth to choose with is worth" in text


def test_a_method_without_a_finished_trial_is_named(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7))
    text = to_markdown(answers(world.record()))
    assert "a→c: no finished trial of confidence, bootstrap." in text
    assert "**b→c**: no trial has finished yet." in text


def test_one_seed_is_said_to_know_nothing_of_others(make_world: Any, right_on: RightOn) -> None:
    world = make_world(seeds=1)
    world.trial("naive", right_on(0.7))
    assert "with one seed (0) nothing is known" in to_markdown(answers(world.record()))


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_terminal_says_the_same_at_any_width(full_world: World, width: int) -> None:
    text = printed(full_world, width)
    assert "best on validation, recovers" in text
    assert "What to keep in mind" in text
    for method in ("naive", "confidence", "bootstrap"):
        assert method in text


def test_names_are_not_taken_for_markup(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7), params={"chain": "[bold]"})
    assert "chain=[bold]" in printed(world, 200)
    world.trials.clear()
    world.trial("naive", right_on(0.7), params={"chain": "a|b"})
    assert "chain=a\\|b" in to_markdown(answers(world.record()))


def test_numbers_are_written_alike_everywhere() -> None:
    assert percent(Interval(0.7634, 0.75, 0.7766)) == "76.3 % [75.0, 77.7]"
    assert points(Interval(0.012, -0.0001, 0.021)) == "+1.2 points [0.0, 2.1]"
    assert points(Interval(-0.012, -0.02, -0.004)) == "-1.2 points [-2.0, -0.4]"
    assert ratio(Interval(0.421, -0.001, 0.8)) == "0.42 [0.00, 0.80]"
    assert ratio(UNDEFINED) == "undefined"
    assert settings({"lr": 0.0012345, "epochs": 7}) == "lr=0.00123, epochs=7"
    assert settings({}) == "the model's own"


def test_settings_that_show_ground_truth_to_the_student_say_so() -> None:
    assert settings({"labels.truth": 0.1}) == "labels.truth=0.1 (its labels know ground truth)"
    assert settings({"select": "truth"}) == "select=truth (stopped by ground truth, a cheat)"
    assert settings({"select": "weak"}) == "select=weak"
    assert "ground truth" not in settings({"labels.truth": 0.0, "labels.harden": True})
