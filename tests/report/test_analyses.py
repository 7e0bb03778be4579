import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from w2s_ray.report import answers
from w2s_ray.report.analyses import analyse
from w2s_ray.report.searching import best_ten, importances, numeric_pairs, scored
from w2s_ray.report.sizes import count_parameters, sizes_of
from w2s_ray.stages.artifacts import WEIGHTS

World = Any  # tests/report/conftest.py
RightOn = Callable[..., Any]


def test_the_analysis_holds_the_very_answer(full_world: World) -> None:
    record = full_world.record()
    assert analyse(record).report == answers(record)


def test_the_naive_default_and_the_best_are_looked_at(full_world: World) -> None:
    for pairing in analyse(full_world.record()).pairings:
        best = pairing.answer.best_answer
        assert best is not None
        assert list(pairing.students) == ["naive default", f"best: {best.method}"]
        assert list(pairing.curves) == list(pairing.students)
        assert list(pairing.calibration) == ["weak", *pairing.students, "ceiling"]
        for curve in pairing.curves.values():
            assert curve.weak_stopped is not None
            assert (curve.last.step, curve.weak_stopped.step, curve.truth_stopped.step) == (200, 150, 100)


def test_a_best_that_is_the_naive_default_is_looked_at_once(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7), default=True)
    assert list(analyse(world.record()).pairings[0].students) == ["naive default"]


def test_a_sweep_that_has_just_begun_has_an_analysis_without_content(world: World) -> None:
    analysis = analyse(world.record())
    assert [pairing.choices for pairing in analysis.pairings] == [(), ()]
    assert analysis.importances == ()
    assert analysis.cost.wall_seconds is None


def test_scores_are_points_above_the_mean_of_the_pairing(world: World, right_on: RightOn) -> None:
    for pairing, oracle in ((0, 0.70), (1, 0.90), (0, 0.72), (1, 0.98)):
        world.trial("naive", right_on(0.7), oracle=oracle, pairing=pairing)
    assert [one.score for one in scored(world.record())] == pytest.approx([-1, -4, 1, 4])


def test_a_parameter_that_decides_is_more_important_than_chance(world: World, right_on: RightOn) -> None:
    for number, lr in enumerate(np.geomspace(1e-4, 1e-2, 24).tolist()):
        method = ("naive", "confidence")[number % 2]
        world.trial(method, right_on(0.7), oracle=0.7 + lr, params={"lr": lr, "epochs": 3})
    record = world.record()
    first, second = importances(record.sweep, scored(record))
    assert (first.parameter, second.parameter) == ("lr", "method")
    assert first.share > first.by_chance
    assert first.share + second.share == pytest.approx(1)


def test_few_trials_say_nothing_about_importance(world: World, right_on: RightOn) -> None:
    for _ in range(7):
        world.trial("naive", right_on(0.7))
    record = world.record()
    assert importances(record.sweep, scored(record)) == ()


def test_no_two_numbers_no_contour(full_world: World) -> None:
    record = full_world.record()
    assert numeric_pairs(record.sweep, scored(record), ["method", "lr"]) is None


def test_the_best_ten_of_a_pairing_fall_in_score(full_world: World) -> None:
    best = best_ten(scored(full_world.record()), "a→c")
    assert len(best) == 10
    assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)


def test_models_that_differ_in_depth_alone_are_ordered_by_it(world: World) -> None:
    sizes = sizes_of(world.record())
    assert sizes.of == {"a": 0, "b": 1, "c": 2}
    assert (sizes.is_count, sizes.label) == (False, "in order of depth")


def test_a_model_trained_in_full_is_as_large_as_its_weights(world: World, right_on: RightOn, tmp_path: Path) -> None:
    stage = world.examples_stage
    store = replace_store(world, tmp_path)
    with store.publish(stage) as draft:
        save_file({"w": np.zeros((3, 4)), "b": np.zeros(4)}, draft.path / WEIGHTS)
    assert count_parameters(store, stage.address) == 16


def replace_store(world: World, folder: Path) -> Any:
    return type(world.store)(folder / "other")


def test_the_cost_counts_each_stage_once_and_what_was_found(world: World, right_on: RightOn) -> None:
    world.trial("naive", right_on(0.7))
    world.trial("naive", right_on(0.71))
    world.trials[1] = replace(world.trials[1], finished=61.0)
    cost = analyse(world.record()).cost
    assert cost.wall_seconds == 61.0
    assert cost.trained == 0  # published by nobody's sweep
    assert cost.reused == 18


def test_an_analysis_brings_neither_torch_nor_ray() -> None:
    code = "import sys, w2s_ray.report.analyses; print(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
