import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from w2s_ray.report import answers, to_json
from w2s_ray.report.bench import Bench

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


@pytest.mark.parametrize(("student", "pgr"), [(0.6, 0.0), (0.8, 1.0), (0.7, 0.5), (0.55, -0.25)])
def test_the_pgr_in_the_answer_is_that_of_the_stored_predictions(
    world: World, right_on: RightOn, student: float, pgr: float
) -> None:
    world.trial("naive", right_on(student), default=True)
    method = to_json(answers(world.record()))["pairings"][0]["methods"][0]
    assert method["student_accuracy"] == pytest.approx(student)
    assert method["pgr"] == pytest.approx(pgr)
    assert method["pgr_low"] <= method["pgr"] + 1e-9
    assert method["pgr_high"] >= method["pgr"] - 1e-9


def test_the_json_has_exactly_the_promised_keys(full_world: World) -> None:
    made = to_json(answers(full_world.record()))
    assert list(made) == ["sweep", "task", "pairings"]
    assert (made["sweep"], made["task"]) == ("made-up", "movie-reviews")
    assert [(p["weak"], p["strong"]) for p in made["pairings"]] == [("a", "c"), ("b", "c")]
    for pairing in made["pairings"]:
        assert list(pairing) == ["weak", "strong", "weak_accuracy", "ceiling_accuracy", "methods"]
        assert [method["method"] for method in pairing["methods"]] == ["naive", "confidence", "bootstrap"]
        for method in pairing["methods"]:
            keys = "method student_accuracy pgr pgr_low pgr_high params seeds selected_by"
            assert list(method) == keys.split()
            assert method["seeds"] == [0, 1, 2]
            assert method["selected_by"] == "oracle"
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_an_undefined_pgr_is_null_beside_its_accuracies(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.6), models=(0.6, 0.6))
    pairing = to_json(answers(world.record()))["pairings"][0]
    assert pairing["weak_accuracy"] == pairing["ceiling_accuracy"] == pytest.approx(0.6)
    method = pairing["methods"][0]
    assert (method["pgr"], method["pgr_low"], method["pgr_high"]) == (None, None, None)
    assert method["student_accuracy"] == pytest.approx(0.6)


def test_a_trial_is_chosen_by_validation_and_never_by_test(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.79), oracle=0.70, weak=0.9, params={"lr": 2e-3})
    world.trial("naive", right_on(0.62), oracle=0.75, weak=0.8, params={"lr": 3e-3})
    world.trial("naive", right_on(0.78), oracle=0.72, weak=0.7, params={"lr": 4e-3})
    method = to_json(answers(world.record()))["pairings"][0]["methods"][0]
    assert method["params"] == {"lr": 3e-3}
    assert method["student_accuracy"] == pytest.approx(0.62)


def test_the_objective_says_whose_validation_labels_choose(make_world: Any, right_on: RightOn) -> None:
    world = make_world(objective="weak")
    world.trial("naive", right_on(0.70), oracle=0.9, weak=0.7)
    world.trial("naive", right_on(0.65), oracle=0.6, weak=0.8)
    report = answers(world.record())
    assert report.pairings[0].methods[0].trial == 1
    assert to_json(report)["pairings"][0]["methods"][0]["selected_by"] == "weak"


def test_of_equal_trials_the_first_is_chosen(world: World, right_on: RightOn) -> None:
    for student in (0.65, 0.75, 0.70):
        world.trial("naive", right_on(student), oracle=0.7)
    assert answers(world.record()).pairings[0].methods[0].trial == 0


def test_the_best_method_is_the_best_on_validation(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.75), oracle=0.70, default=True)
    world.trial("confidence", right_on(0.70), oracle=0.80)
    pairing = answers(world.record()).pairings[0]
    assert pairing.best == "confidence"
    assert pairing.best_answer is pairing.methods[1]


def test_the_best_is_compared_with_the_untuned_naive_trial_example_by_example(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.65), oracle=0.6, default=True)
    world.trial("naive", right_on(0.72), oracle=0.7)
    world.trial("confidence", right_on(0.75), oracle=0.8)
    pairing = answers(world.record()).pairings[0]
    assert pairing.naive_default is not None
    assert pairing.naive_default.trial == 0
    assert pairing.improvement is not None
    assert pairing.improvement.estimate == pytest.approx(0.10)
    assert pairing.improvement.excludes_zero


def test_without_a_naive_default_there_is_no_improvement_to_speak_of(world: World, right_on: RightOn) -> None:
    world.trial("confidence", right_on(0.75), default=True)
    pairing = answers(world.record()).pairings[0]
    assert pairing.naive_default is None
    assert pairing.improvement is None


def test_the_other_way_to_choose_is_tested_and_its_cost_told(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.66), oracle=0.70, weak=0.95)
    world.trial("confidence", right_on(0.74), oracle=0.78, weak=0.80)
    selection = answers(world.record()).pairings[0].selection
    assert selection is not None
    assert (selection.oracle, selection.weak) == (1, 0)
    assert (selection.oracle_method, selection.weak_method) == ("confidence", "naive")
    assert selection.regret.estimate == pytest.approx(0.08)


def test_unfinished_trials_are_counted_and_never_chosen(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.70), oracle=0.7)
    world.trial("naive", right_on(0.79), oracle=0.9, state="pruned")
    world.trial("confidence", right_on(0.79), oracle=0.9, state="failed")
    pairing = answers(world.record()).pairings[0]
    assert [(method.method, method.num_compared) for method in pairing.methods] == [("naive", 1)]
    assert pairing.unfinished == ("confidence", "bootstrap")
    assert pairing.states == {"complete": 1, "failed": 1, "pruned": 1}


def test_a_sweep_without_a_finished_trial_has_an_empty_answer(world: World) -> None:
    report = answers(world.record())
    assert report.num_test is None
    pairing = to_json(report)["pairings"][0]
    assert (pairing["weak_accuracy"], pairing["ceiling_accuracy"], pairing["methods"]) == (None, None, [])


def test_agreement_counts_where_the_supervisor_is_right_and_where_it_is_wrong(world: World, right_on: RightOn) -> None:
    # Weak is right on the first 60 %; a student right on 70 % repeats it there and on the last 30 %.
    world.trial("naive", right_on(0.70))
    agreement = answers(world.record()).pairings[0].methods[0].agreement
    assert agreement.overall == pytest.approx(0.9)
    assert agreement.weak_right == pytest.approx(1.0)
    assert agreement.weak_wrong == pytest.approx(0.75)


def test_one_seed_is_enough_for_an_answer(make_world: Any, right_on: RightOn) -> None:
    world = make_world(seeds=1)
    world.trial("naive", right_on(0.70))
    method = to_json(answers(world.record()))["pairings"][0]["methods"][0]
    assert method["seeds"] == [0]
    assert method["pgr_low"] < 0.5 < method["pgr_high"]


def test_seeds_are_kept_apart_and_averaged(world: World, right_on: RightOn) -> None:
    world.trial("naive", np.stack([right_on(0.65), right_on(0.70), right_on(0.75)]))
    student = answers(world.record()).pairings[0].methods[0].student
    assert student.estimate == pytest.approx(0.70)


def test_a_model_tested_on_other_examples_is_refused(world: World, right_on: RightOn) -> None:
    world.num_test -= 1
    shorter = replace(world.examples, ids=world.examples.ids[:-1], splits=world.examples.splits[:-1])
    world.examples = replace(shorter, classes=shorter.classes[:-1])
    addresses = world.model("short", right_on(0.7, world.num_test))
    with pytest.raises(AssertionError, match="was not tested on the test split"):
        Bench(world.store).test(addresses)


def test_trials_measured_against_different_ceilings_are_not_compared(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.70))
    trial = world.trial("confidence", right_on(0.72))
    other = world.model("ceiling of another version", right_on(0.9))
    world.trials[1] = replace(trial, stages={**trial.stages, "ceiling": other})
    with pytest.raises(ValueError, match=r"different ceiling models, .* under a new name"):
        answers(world.record())
