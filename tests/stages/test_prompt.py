"""Prompting: what the model is asked, what it is shown, and that no truth of the student's half is among it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2s_ray.labels import ground_truth
from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.models.load import load_tokenizer
from w2s_ray.spec import Sweep
from w2s_ray.stages.prompt import Asker, choose_shots
from w2s_ray.stages.stage import Stage, knows_truth


@pytest.fixture
def prompting(tmp_path: Path, decoder: Path) -> Sweep:
    table = tmp_path / "films.csv"
    lines = [f"very {'good' if number % 2 else 'bad'} film {number},{number % 2}" for number in range(400)]
    table.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    model: dict[str, Any] = {"source": str(decoder), "max_length": 8, "baseline": {"epochs": 1}}
    data = {
        "name": "prompting",
        "task": {"source": str(table), "splits": {"weak": 40, "student": 60, "validation": 30, "test": 50}},
        "models": {"weak": {**model, "depth": 0}, "strong": model},
        "pairings": [{"weak": "weak", "strong": "strong"}],
        "methods": ["prompt"],
        "seeds": [0, 1],
        "search": {"trials": 1},
        "store": str(tmp_path / "store"),
    }
    return Sweep.model_validate(data)


def student_of(sweep: Sweep, **params: Any) -> tuple[Stage, ...]:
    return stages_of(Parts(sweep), Experiment(0, "weak→strong", "prompt", params, default=False))["student"]


def test_a_long_text_is_cut_and_the_question_is_not(decoder: Path) -> None:
    asker = Asker(load_tokenizer(decoder), "good {text} Answer :", ("no", "yes"), max_length=3)
    good, very, answer, colon = 9, 12, 5, 6
    assert asker.question("very " * 50) == [good, very, very, very, answer, colon]
    assert asker.answers == [[3], [4]]
    assert asker.shots(["very", "film"], [1, 0]) == [good, very, answer, colon, 4, good, 11, answer, colon, 3]


def test_the_default_question_names_the_class_or_all_of_them(decoder: Path) -> None:
    tokenizer = load_tokenizer(decoder)
    two = tokenizer.decode(Asker(tokenizer, "", ("bad", "good"), 5).question("film"))
    several = tokenizer.decode(Asker(tokenizer, "", ("bad", "very", "good"), 5).question("film"))
    assert "1" in two
    assert "good" in two
    assert "bad" not in two
    assert all(word in several for word in ("bad", "very", "good"))


def test_classes_take_turns_among_the_shots_and_more_shots_hold_fewer() -> None:
    ids = np.array([f"{number:04x}" for number in range(100)])
    labels = ground_truth(ids, np.array([0] * 90 + [1] * 10), 2)
    for count in (2, 6, 20):
        assert np.bincount(choose_shots(labels, count, 0).classes).tolist() == [count // 2] * 2
    assert set(choose_shots(labels, 6, 0).ids) < set(choose_shots(labels, 20, 0).ids)
    assert set(choose_shots(labels, 6, 0).ids) != set(choose_shots(labels, 6, 1).ids)
    assert np.bincount(choose_shots(labels, 30, 0).classes).tolist() == [20, 10], "one class has no more"


def test_zero_shots_read_no_label_and_are_one_stage_for_all_seeds(prompting: Sweep) -> None:
    first, second = student_of(prompting)
    assert first == second
    assert set(first.inputs) == {"examples"}
    shot_first, shot_second = student_of(prompting, shots=2)
    assert shot_first != shot_second
    assert not any(
        knows_truth(stage) for stage in (first, shot_first, *student_of(prompting, shots=2, shot_labels="truth"))
    )


@pytest.mark.parametrize(
    ("name", "value"), [("shots", -1), ("shot_labels", "strong"), ("template", "no text"), ("lr", 1e-3)]
)
def test_a_setting_that_prompting_cannot_have_is_refused(prompting: Sweep, name: str, value: Any) -> None:
    data = prompting.model_dump(by_alias=True, exclude_none=True)
    data["methods"] = {"prompt": {name: value}}
    with pytest.raises(ValueError, match=name):
        Sweep.model_validate(data)


def test_a_model_that_was_cut_cannot_be_asked(prompting: Sweep) -> None:
    data = prompting.model_dump(by_alias=True, exclude_none=True)
    data["models"]["strong"]["depth"] = 1
    with pytest.raises(ValueError, match="without depth"):
        Sweep.model_validate(data)


def test_a_prompted_model_is_judged_like_any_student(ray: Any, prompting: Sweep) -> None:
    from w2s_ray.search.trial import judge_students
    from w2s_ray.stages.broker import start_broker
    from w2s_ray.stages.store import Store

    store = Store(prompting.store)
    broker = start_broker(store, prompting.name)
    for params in ({}, {"shots": 4}, {"shots": 4, "shot_labels": "truth"}):
        experiment = Experiment(0, "weak→strong", "prompt", params, default=False)
        roles = stages_of(Parts(prompting), experiment)
        ray.get([broker.produce.remote(stage, 0) for name in ("weak", "student") for stage in roles[name]])
        student = store.get(roles["student"][0].address)
        assert len(student.predictions().of("test").ids) == 50
        assert student.curve()[0]["step"] == 1
        assert ("validation_agreement" in student.curve()[0]) == bool(params)
        values = judge_students(store, roles)
        assert 0 <= values["oracle"] <= 1
        if params:
            agreed = [store.get(stage.address).record.summary["validation_agreement"] for stage in roles["student"]]
            assert values["weak"] == pytest.approx(np.mean(agreed))
