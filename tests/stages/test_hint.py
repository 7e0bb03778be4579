"""Appendix E.3: the text says what the supervisor thinks, right or wrong, and nothing else of an example changes."""

from typing import Any

import numpy as np
import pytest

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Model, Sweep, replace
from w2s_ray.stages.artifacts import Examples, Predictions
from w2s_ray.stages.hint import with_hints
from w2s_ray.stages.stage import Stage


def examples(classes: int) -> Examples:
    names = ("no", "yes", "perhaps")[:classes]
    splits = np.array(["weak", "student", "validation", "test"])
    return Examples(np.array(list("abcd")), ["A.", "B.", "C.", "D."], np.array([0, 1, 0, 1]), splits, names)


def labels(classes: int) -> Predictions:
    said = np.array([0, 1, classes - 1])  # of d, c, b: their order is not that of the examples
    return Predictions(np.array(list("dcb")), np.array(["test", "validation", "student"]), np.eye(classes)[said])


def test_the_hardened_label_is_appended_where_there_is_one_and_the_truth_is_left_out() -> None:
    hinted = with_hints(examples(2), labels(2))
    says = "\n\nI think this is {}. What do you think?"
    assert hinted.texts == [
        "A.",
        "B." + says.format("correct"),
        "C." + says.format("correct"),
        "D." + says.format("incorrect"),
    ]
    assert (hinted.ids == examples(2).ids).all()
    assert (hinted.classes == examples(2).classes).all()


def test_more_than_two_classes_are_called_by_their_names() -> None:
    assert with_hints(examples(3), labels(3)).texts[1].endswith("I think this is perhaps. What do you think?")


HARD: dict[str, Any] = {"labels.harden": True}


def of(sweep: Sweep, method: str, **params: Any) -> dict[str, tuple[Stage, ...]]:
    return stages_of(Parts(sweep), Experiment(0, sweep.pairings[0].name, method, params, default=True))


def test_the_student_is_tested_on_the_same_examples_and_measured_by_the_same_baselines(small: Sweep) -> None:
    made, naive = of(small, "imitation"), of(small, "naive")
    assert (made["weak"], made["ceiling"]) == (naive["weak"], naive["ceiling"])
    for student, weak in zip(made["student"], made["weak"], strict=True):
        assert student.inputs["examples"] == weak.inputs["examples"]
        assert student.inputs["labels"] == weak
        hint = student.inputs["features"].inputs["examples"]
        assert (hint.kind, hint.inputs["labels"]) == ("hint", weak)


def test_hints_of_hard_labels_are_those_of_soft_ones_and_are_made_once(small: Sweep) -> None:
    hard = of(small, "imitation", **HARD, **{"labels.temperature": 2.0})["student"][0]
    soft = of(small, "imitation")["student"][0]
    assert hard.inputs["labels"] != soft.inputs["labels"]
    assert hard.inputs["features"] == soft.inputs["features"]


def test_a_student_that_trains_all_weights_reads_the_hints_as_texts(small: Sweep) -> None:
    models: dict[str, Model] = {**small.models, "minilm-1": replace(small.models["minilm-1"], train="full")}
    student = of(replace(small, models=models), "imitation")["student"][0]
    assert "features" not in student.inputs
    assert student.inputs["texts"].kind == "hint"


@pytest.mark.parametrize("train", ["head", "full"])
def test_a_student_that_can_read_the_label_repeats_its_supervisor(ray: Any, small: Sweep, train: Any) -> None:
    """A head learns to in seconds; for all weights it is shown that the hints arrive."""
    from w2s_ray.stages.broker import start_broker
    from w2s_ray.stages.store import Store

    weak, strong = small.models["minilm-0"], small.models["minilm-1"]
    training = replace(strong.baseline, epochs=20 if train == "head" else 1)
    models = {
        "minilm-0": replace(weak, baseline=replace(weak.baseline, epochs=10)),
        "minilm-1": replace(strong, train=train, baseline=training, max_length=64),
    }
    sweep = replace(small, models=models, seeds=(0,))
    store, wanted = Store(small.store), [of(sweep, method, **HARD)["student"][0] for method in ("imitation", "naive")]
    broker = start_broker(store, sweep.name)
    ray.get([broker.produce.remote(stage, 0) for stage in wanted])
    weak_says, imitator, naive = (
        store.get(stage.address).predictions().of("test").probabilities.argmax(axis=1)
        for stage in (of(sweep, "naive")["weak"][0], *wanted)
    )
    assert (imitator != naive).any()
    if train == "head":
        assert (imitator == weak_says).mean() > max(0.9, (naive == weak_says).mean())
