"""Which label stages a trial gets: none unless it asks, always in the same order, shared where they can be."""

from collections.abc import Callable
from typing import Any

import pytest

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.methods.experiment import default_params
from w2s_ray.report.wording import settings
from w2s_ray.spec import Sweep
from w2s_ray.spec.labels import LABEL_PARAMETERS, LabelSettings
from w2s_ray.spec.method import DEFAULTS
from w2s_ray.stages.operations import Flip, reads_truth
from w2s_ray.stages.stage import Relabel, Stage, knows_truth, origin_of, walk

Graph = Callable[..., dict[str, tuple[Stage, ...]]]

EVERYTHING: dict[str, Any] = {
    "labels.ensemble": "minilm-1+minilm-2",
    "labels.errors": "longest",
    "labels.noise_rate": 0.1,
    "labels.temperature": 2.0,
    "labels.probe": "knn-filter",
    "labels.truth": 0.1,
    "labels.keep": 0.5,
    "labels.harden": True,
}
TRAINED = [method for method in DEFAULTS if method != "prompt"]
READ_TRUTH = {"labels.errors": "longest", "labels.truth": 0.1}


def operations(student: Stage) -> list[str]:
    """From the weak supervisor to the student."""
    found, stage = list[str](), student.inputs["labels"]
    while isinstance(stage.settings, Relabel):
        found.insert(0, stage.settings.operation.operation)
        stage = stage.inputs.get("labels") or stage.inputs["labels 1"]
    return found


def graph_of(graph: Graph, method: str, params: dict[str, Any]) -> dict[str, tuple[Stage, ...]]:
    return graph(method, **{name.replace(".", "__"): value for name, value in params.items()})


@pytest.mark.parametrize("method", TRAINED)
def test_label_parameters_at_their_defaults_add_no_stage_and_change_no_address(graph: Graph, method: str) -> None:
    plain = graph_of(graph, method, {f"labels.{name}": value for name, value in LabelSettings().model_dump().items()})
    assert plain == graph(method)


def test_operations_come_in_the_documented_order_whatever_order_they_are_asked_in(graph: Graph) -> None:
    backwards = dict(reversed(EVERYTHING.items()))
    student = graph_of(graph, "naive", backwards)["student"][0]
    assert operations(student) == ["mean", "flip", "flip", "temper", "probe", "truth", "keep", "harden"]
    assert student == graph_of(graph, "naive", EVERYTHING)["student"][0]


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("method", TRAINED)
def test_every_method_understands_every_operation_and_no_baseline_is_touched(
    graph: Graph, method: str, name: str
) -> None:
    plain, made = graph(method), graph_of(graph, method, {name: EVERYTHING[name]})
    assert made["student"] != plain["student"]
    assert (made["weak"], made["ceiling"]) == (plain["weak"], plain["ceiling"])


@pytest.mark.parametrize("name", EVERYTHING)
def test_ground_truth_in_the_labels_is_known_all_the_way_to_the_student(graph: Graph, name: str) -> None:
    for student in graph_of(graph, "bootstrap", {name: EVERYTHING[name]})["student"]:
        teacher = student.inputs["labels"]
        assert knows_truth(teacher) == (name in READ_TRUTH)
        assert ("ground truth" in origin_of(teacher)) == (name in READ_TRUTH)
        assert LabelSettings.model_validate({name.removeprefix("labels."): EVERYTHING[name]}).read_truth == (
            name in READ_TRUTH
        )


@pytest.mark.parametrize("structure", ["ceiling-unconfident", "ceiling-confident"])
def test_noise_placed_by_the_ceiling_counts_as_knowing_the_truth(graph: Graph, structure: str) -> None:
    made = graph("naive", labels__noise=structure, labels__noise_rate=0.1)
    labels = made["student"][0].inputs["labels"]
    assert labels.inputs["ceiling"] == made["ceiling"][0]
    assert knows_truth(labels)
    assert reads_truth(Flip(structure=structure, rate=0.1, seed=0))  # type: ignore[arg-type]


def test_noise_without_a_rate_is_none(graph: Graph) -> None:
    assert graph("naive", labels__noise="longest") == graph("naive")


def test_operations_act_where_weak_labels_enter_a_chain(graph: Graph) -> None:
    made = graph("bootstrap", labels__harden=True)
    assert operations(made["intermediate 1"][0]) == ["harden"]
    assert made["intermediate 2"][0].inputs["labels"] == made["intermediate 1"][0]


LINKS = {name: value for name, value in EVERYTHING.items() if name != "labels.ensemble"}


@pytest.mark.parametrize("name", LINKS)
def test_a_step_of_a_chain_may_change_the_labels_that_it_passes_on(graph: Graph, name: str) -> None:
    plain = graph("bootstrap", chain="minilm-1>minilm-3")
    made = graph_of(graph, "bootstrap", {"chain": "minilm-1>minilm-3", f"intermediate.2.{name}": LINKS[name]})
    assert made["intermediate 1"] == plain["intermediate 1"], "what enters the chain is for labels.… to say"
    assert made["intermediate 2"] == plain["intermediate 2"]
    labels = made["student"][0].inputs["labels"]
    assert isinstance(labels.settings, Relabel)
    assert labels.inputs["labels"] == made["intermediate 2"][0]
    assert knows_truth(labels) == (name in READ_TRUTH)


def test_what_every_step_does_to_its_labels_is_done_at_each_later_link_in_the_documented_order(graph: Graph) -> None:
    chain = {"chain": "minilm-1>minilm-3"}
    backwards = {f"intermediate.{name}": value for name, value in reversed(LINKS.items())}
    made = graph_of(graph, "bootstrap", {**chain, **backwards})
    expected = ["flip", "flip", "temper", "probe", "truth", "keep", "harden"]
    assert operations(made["intermediate 1"][0]) == []
    assert operations(made["intermediate 2"][0]) == operations(made["student"][0]) == expected
    one = graph_of(graph, "bootstrap", {**chain, "intermediate.labels.keep": 0.5, "intermediate.2.labels.keep": 1.0})
    assert operations(one["intermediate 2"][0]) == ["keep"]
    assert operations(one["student"][0]) == []


def test_with_fresh_texts_a_link_changes_all_labels_and_then_takes_its_part(graph: Graph) -> None:
    made = graph("bootstrap", chain="minilm-1", fresh=True, intermediate__labels__harden=True)
    assert operations(made["intermediate 1"][0]) == ["part"]
    assert operations(made["student"][0]) == ["harden", "part"]


def test_a_link_whose_noise_asks_the_ceiling_reads_the_trials_own(graph: Graph) -> None:
    noise = {"noise": "ceiling-confident", "noise_rate": 0.1}
    asked = {f"intermediate.labels.{name}": value for name, value in noise.items()}
    made = graph_of(graph, "bootstrap", {"chain": "minilm-1", **asked})
    assert made["student"][0].inputs["labels"].inputs["ceiling"] == made["ceiling"][0]


def test_a_report_says_so_where_a_link_reads_ground_truth() -> None:
    assert "ground truth" in settings({"intermediate.2.labels.truth": 0.1})
    spread = {"intermediate.labels.noise": "ceiling-confident", "intermediate.2.labels.noise_rate": 0.1}
    assert "ground truth" in settings(spread)
    assert "ground truth" not in settings({**spread, "intermediate.2.labels.noise_rate": 0.0})
    assert "ground truth" not in settings({"intermediate.labels.temperature": 2.0})


def test_the_labels_of_a_link_are_one_models_and_of_a_chain_alone(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    for method, name, value, message in (
        ("bootstrap", "intermediate.labels.ensemble", "seeds", "not defined"),
        ("bootstrap", "intermediate.labels.keep", 0, "greater than 0"),
        ("naive", "intermediate.labels.keep", 0.5, "it belongs to bootstrap"),
        ("bootstrap", "intermediate.2.labels.l2", 0.5, "without intermediate.2.labels.probe"),
        ("bootstrap", "intermediate.labels.noise", "longest", "without intermediate.labels.noise_rate"),
    ):
        data["methods"] = {method: {name: value}}
        with pytest.raises(ValueError, match=message):
            Sweep.model_validate(data)
    data["methods"] = {"bootstrap": {"intermediate.2.labels.l2": 0.5, "intermediate.labels.probe": "logistic-filter"}}
    Sweep.model_validate(data)


def test_the_labels_of_a_link_can_be_searched_and_start_at_their_defaults(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    space = {
        "intermediate.labels.temperature": {"log_uniform": [0.3, 3]},
        "intermediate.2.labels.harden": [False, True],
    }
    data["space"] = {name: {"choice": one} if isinstance(one, list) else one for name, one in space.items()}
    sweep = Sweep.model_validate(data)
    found = default_params(sweep, sweep.pairings[0], "bootstrap")
    assert found == {"intermediate.labels.temperature": 1.0, "intermediate.2.labels.harden": False}
    assert default_params(sweep, sweep.pairings[0], "naive") == {}


def test_an_ensemble_of_seeds_is_one_supervisor_for_the_students_of_all_seeds(graph: Graph) -> None:
    made = graph("naive", labels__ensemble="seeds")
    first, second = (student.inputs["labels"] for student in made["student"])
    assert first == second
    assert {stage for role, stage in first.inputs.items() if role != "examples"} == set(made["weak"])


def test_an_ensemble_of_models_holds_the_weak_supervisor_once_and_has_no_order(graph: Graph) -> None:
    made = graph("naive", labels__ensemble="minilm-2+minilm-1")["student"][0].inputs["labels"]
    same = graph("naive", labels__ensemble="minilm-0 + minilm-1+minilm-2")["student"][0].inputs["labels"]
    assert made == same
    members = [stage.settings for role, stage in made.inputs.items() if role != "examples"]
    assert {member.model.depth for member in members} == {0, 1, 2}  # type: ignore[attr-defined]
    assert {(member.half, member.seed) for member in members} == {("weak", 0)}  # type: ignore[attr-defined]


def test_a_probe_reads_the_strong_models_features(graph: Graph) -> None:
    made = graph("naive", labels__probe="logistic-relabel")
    assert made["student"][0].inputs["labels"].inputs["features"] == made["student"][0].inputs["features"]


def test_what_draws_nothing_by_chance_is_the_same_stage_for_equal_labels(ladder: Sweep) -> None:
    parts = Parts(ladder)
    for name, value in EVERYTHING.items():
        by_chance = name in ("labels.errors", "labels.noise_rate", "labels.truth")
        params = {"labels.ensemble": "seeds", name: value} if name != "labels.ensemble" else {name: "seeds"}
        made = stages_of(parts, Experiment(0, ladder.pairings[0].name, "naive", params, default=False))
        labels = {student.inputs["labels"] for student in made["student"]}
        assert len(labels) == (2 if by_chance else 1), name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels.keep", 0, "greater than 0"),
        ("labels.keep", 1.5, "less than or equal to 1"),
        ("labels.probe", "svm", "knn-filter"),
        ("labels.ensemble", "minilm-1+", "small\\+middle"),
        ("labels.ensemble", "minilm-77", "'minilm-77' is not defined"),
        ("labels.hard", True, "labels.harden"),
        ("labels.noise", "shuffled", "longest"),
    ],
)
def test_a_mistake_is_answered_with_what_would_be_right(ladder: Sweep, name: str, value: Any, message: str) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["methods"] = {"naive": {name: value}}
    with pytest.raises(ValueError, match=message):
        Sweep.model_validate(data)


@pytest.mark.parametrize("part", ["methods", "space"])
def test_a_setting_that_would_do_nothing_is_answered(ladder: Sweep, part: str) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data[part] = {"naive": {"labels.noise": "longest"}} if part == "methods" else {"labels.neighbours": {"int": [1, 9]}}
    with pytest.raises(ValueError, match="does nothing without"):
        Sweep.model_validate(data)
    data["methods"] = {"naive": {"labels.noise": "longest", "labels.noise_rate": 0.1, "labels.probe": "knn-filter"}}
    Sweep.model_validate(data)


def test_one_seed_has_no_ensemble(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data |= {"methods": {"naive": {"labels.ensemble": "seeds"}}, "seeds": [0]}
    with pytest.raises(ValueError, match="one seed"):
        Sweep.model_validate(data)


def test_label_parameters_can_be_searched_and_start_at_their_defaults(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["space"] = {
        "labels.harden": {"choice": [False, True]},
        "labels.keep": {"uniform": [0.1, 1]},
        "labels.probe": {"choice": ["none", "knn-filter"]},
        "labels.truth": {"uniform": [0.05, 0.5]},
    }
    sweep = Sweep.model_validate(data)
    for method in sweep.methods:
        params = default_params(sweep, sweep.pairings[0], method)
        found = {name: value for name, value in params.items() if name in LABEL_PARAMETERS}
        assert found == {"labels.harden": False, "labels.keep": 1.0, "labels.probe": "none", "labels.truth": 0.05}


def test_no_trial_that_asks_for_no_ground_truth_gets_any(graph: Graph) -> None:
    asked = {name: value for name, value in EVERYTHING.items() if name not in READ_TRUTH}
    made = graph_of(graph, "naive", asked)
    for student in made["student"]:
        below = [stage for stage in walk(student) if stage.kind == "finetune" and "labels" not in stage.inputs]
        assert {stage.settings.half for stage in below} == {"weak"}  # type: ignore[attr-defined]
        assert not knows_truth(student)
