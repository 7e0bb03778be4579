"""What each method's graph is: who trains on which half, and on whose labels."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from w2s_ray.methods import Experiment, Parts, plan_stages, stages_of
from w2s_ray.methods.bootstrap import evenly
from w2s_ray.methods.experiment import RECIPES, default_params
from w2s_ray.spec import Sweep
from w2s_ray.spec.method import DEFAULTS, methods_with, step_params
from w2s_ray.spec.training import LOSSES
from w2s_ray.stages.stage import Finetune, Stage, walk

Graph = Callable[..., dict[str, tuple[Stage, ...]]]
ROLES = {"weak", "ceiling", "student"}
TRAINED = [method for method in DEFAULTS if method != "prompt"]
LOSS_METHODS = [name for name in LOSSES if name not in ("cross-entropy", "confidence")]
OTHER_VALUES = {"alpha": 0.3, "alpha_warmup": 0.4, "threshold_buffer": 99, "radius": 0.2, "q": 0.4}


def finetune(stage: Stage) -> Finetune:
    assert isinstance(stage.settings, Finetune)
    return stage.settings


def depths(graph: dict[str, tuple[Stage, ...]]) -> dict[str, int | None]:
    return {role: finetune(stages[0]).model.depth for role, stages in graph.items()}


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_of_the_spec_has_a_recipe_and_gives_one_stage_per_role_and_seed(graph: Graph, method: str) -> None:
    made = graph(method)
    assert set(RECIPES) == set(DEFAULTS)
    assert {role for role in made if not role.startswith("intermediate ")} == ROLES
    for stages in made.values():
        assert [finetune(stage).seed for stage in stages] == [0, 1]
        assert len({stage.address for stage in stages}) == 2


@pytest.mark.parametrize("method", TRAINED)
def test_weak_supervisor_and_ceiling_learn_from_the_ground_truth_of_their_own_halves(graph: Graph, method: str) -> None:
    made = graph(method)
    for role, half in (("weak", "weak"), ("ceiling", "student")):
        for stage in made[role]:
            assert finetune(stage).half == half
            assert set(stage.inputs) == {"examples", "features"}, "no labels input means ground truth"
    assert depths(made)["weak"] == 0
    assert depths(made)["ceiling"] == depths(made)["student"] == 5


@pytest.mark.parametrize("method", ["naive", "confidence"])
def test_the_student_learns_from_the_weak_supervisor_of_its_own_seed(graph: Graph, method: str) -> None:
    made = graph(method)
    for weak, student in zip(made["weak"], made["student"], strict=True):
        assert finetune(student).half == "student"
        assert student.inputs["labels"] == weak


@pytest.mark.parametrize("method", TRAINED)
def test_all_models_of_a_pairing_see_the_same_split_of_the_task(graph: Graph, method: str) -> None:
    examples = {stage.inputs["examples"].address for stages in graph(method).values() for stage in stages}
    assert len(examples) == 1


def test_a_chain_passes_the_labels_from_each_student_to_the_next(graph: Graph) -> None:
    made = graph("bootstrap")
    chain = ["weak", "intermediate 1", "intermediate 2", "intermediate 3", "intermediate 4", "student"]
    assert depths(made) == {**dict(zip(chain, range(6), strict=True)), "ceiling": 5}
    for teacher, learner in itertools.pairwise(chain):
        for seed in (0, 1):
            assert made[learner][seed].inputs["labels"] == made[teacher][seed]
            assert finetune(made[learner][seed]).half == "student"


def test_the_naive_student_has_cross_entropy_and_the_confidence_student_the_alpha_it_was_given(graph: Graph) -> None:
    assert finetune(graph("naive")["student"][0]).loss.alpha == 0
    loss = finetune(graph("confidence", alpha=0.7, alpha_warmup=0.3)["student"][0]).loss
    assert (loss.alpha, loss.alpha_warmup) == (0.7, 0.3)


@pytest.mark.parametrize("warmup", [0.0, 0.2, 1.0])
def test_a_confidence_student_at_alpha_0_is_the_very_naive_student(graph: Graph, warmup: float) -> None:
    naive = graph("naive", lr=3e-3)
    assert graph("confidence", lr=3e-3, alpha=0, alpha_warmup=warmup) == naive
    assert graph("confidence", lr=3e-3, alpha=0.1, alpha_warmup=warmup)["student"] != naive["student"]


@pytest.mark.parametrize("name", LOSS_METHODS)
def test_a_loss_by_name_is_a_method_with_the_defaults_of_its_source(graph: Graph, name: str) -> None:
    loss = finetune(graph(name)["student"][0]).loss
    assert loss.name == name
    assert {parameter: getattr(loss, parameter) for parameter in LOSSES[name]} == dict(LOSSES[name])


@pytest.mark.parametrize("name", [name for name in LOSS_METHODS if "alpha" in LOSSES[name]])
def test_any_loss_at_alpha_0_is_the_very_naive_student(graph: Graph, name: str) -> None:
    assert graph(name, alpha=0, alpha_warmup=0.7) == graph("naive")
    assert graph(name, alpha=0, smoothing=0.1) == graph("naive", smoothing=0.1) != graph("naive")


@pytest.mark.parametrize("name", ["cross-entropy", "confidence", *LOSS_METHODS])
def test_what_a_loss_does_not_use_enters_no_address_and_what_it_uses_does(graph: Graph, name: str) -> None:
    plain = graph("bootstrap", loss=name)["student"]
    for parameter, value in OTHER_VALUES.items():
        changed = graph("bootstrap", loss=name, **{parameter: value})["student"]
        assert (changed != plain) == (parameter in LOSSES[name]), parameter


def test_each_step_of_a_chain_may_have_a_loss_of_its_own(graph: Graph) -> None:
    assert graph("bootstrap", loss="cross-entropy") == graph("bootstrap")
    made = graph("bootstrap", loss="product", intermediate__loss="kl", intermediate__2__loss="confidence")
    names = [finetune(made[role][0]).loss.name for role in ("intermediate 1", "intermediate 2", "student")]
    assert names == ["kl", "confidence", "product"]
    assert finetune(made["intermediate 2"][0]).loss.alpha == 0.5


def test_a_parameter_exists_only_for_methods_whose_loss_uses_it() -> None:
    assert methods_with("q") == ("bootstrap", "generalised-cross-entropy")
    assert methods_with("radius") == ("bootstrap", "window")
    assert methods_with("threshold_buffer") == ("confidence", "bootstrap", "imitation")
    assert methods_with("alpha") == ("confidence", "bootstrap", "log-confidence", "product", "entropy", "imitation")
    assert methods_with("loss") == ("bootstrap",)
    assert methods_with("smoothing") == tuple(TRAINED)
    assert methods_with("name") == methods_with("intermediate.name") == ()


def test_a_trials_parameters_change_its_student_and_leave_both_baselines_alone(graph: Graph) -> None:
    plain = graph("bootstrap")
    changes: dict[str, Any] = {
        "lr": 5e-3,
        "epochs": 9,
        "batch_size": 8,
        "weight_decay": 0.5,
        "schedule": "cosine",
        "lr_warmup": 0.1,
        "clip": 0.3,
        "alpha": 0.4,
        "chain_length": 1,
        "chain": "minilm-3",
        "intermediate__lr": 7e-3,
        "intermediate__2__epochs": 8,
    }
    for name, value in changes.items():
        made = graph("bootstrap", **{name: value})
        assert made["student"] != plain["student"], f"{name} does not reach the student"
        assert (made["weak"], made["ceiling"]) == (plain["weak"], plain["ceiling"]), f"{name} reaches a baseline"


def test_what_a_trial_does_not_set_comes_from_the_models_own_baseline(graph: Graph) -> None:
    made = graph("bootstrap", epochs=7)
    assert finetune(made["student"][0]).training.epochs == 7
    rates = {role: finetune(stages[0]).training.lr for role, stages in made.items()}
    assert rates["student"] == pytest.approx(6e-4)
    assert [rates[f"intermediate {step}"] for step in (1, 2, 3, 4)] == pytest.approx([2e-4, 3e-4, 4e-4, 5e-4])
    assert {finetune(made[f"intermediate {step}"][0]).training.epochs for step in (1, 2, 3, 4)} == {3}


def test_the_setting_of_one_step_wins_over_that_of_every_step(graph: Graph) -> None:
    made = graph("bootstrap", lr=1e-2, intermediate__lr=5e-3, intermediate__2__lr=7e-3, intermediate__2__alpha=0.6)
    rates = [finetune(made[f"intermediate {step}"][0]).training.lr for step in (1, 2, 3, 4)]
    assert rates == [5e-3, 7e-3, 5e-3, 5e-3]
    assert [finetune(made[f"intermediate {step}"][0]).loss.alpha for step in (1, 2, 3, 4)] == [0, 0.6, 0, 0]
    student = finetune(made["student"][0])
    assert (student.training.lr, student.loss.alpha) == (1e-2, 0)


def test_the_settings_of_step_12_are_not_those_of_step_1_or_2() -> None:
    params = {"lr": 1.0, "intermediate.lr": 2.0, "intermediate.1.lr": 3.0, "intermediate.12.lr": 4.0}
    found = {step: step_params(params, step) for step in (1, 2, 12)}
    assert found == {1: {"lr": 3.0}, 2: {"lr": 2.0}, 12: {"lr": 4.0}}


@pytest.mark.parametrize(("length", "expected"), [(1, [3]), (2, [2, 4]), (3, [1, 3, 4]), (4, [1, 2, 3, 4])])
def test_a_shorter_chain_is_thinned_evenly(graph: Graph, length: int, expected: list[int]) -> None:
    found = depths(graph("bootstrap", chain_length=length))
    assert [depth for role, depth in found.items() if role.startswith("intermediate ")] == expected


def test_a_chain_longer_than_there_are_models_is_all_of_them(graph: Graph) -> None:
    assert graph("bootstrap", chain_length=9) == graph("bootstrap")


@pytest.mark.parametrize("count", range(1, 8))
def test_thinning_keeps_the_order_and_takes_nothing_twice(count: int) -> None:
    models = tuple("abcdefg")
    chosen = evenly(models, count)
    assert len(chosen) == len(set(chosen)) == count
    assert list(chosen) == sorted(chosen)


def test_a_chain_by_name_is_that_chain_in_its_order(graph: Graph) -> None:
    found = depths(graph("bootstrap", chain="minilm-4 > minilm-2"))
    assert [depth for role, depth in found.items() if role.startswith("intermediate ")] == [4, 2]


def test_two_chains_share_the_steps_they_begin_with(graph: Graph) -> None:
    short, long = graph("bootstrap", chain="minilm-1>minilm-3"), graph("bootstrap", chain="minilm-1>minilm-4")
    assert short["intermediate 1"] == long["intermediate 1"]
    assert short["intermediate 2"] != long["intermediate 2"]


def test_with_fresh_texts_each_training_of_a_chain_sees_a_part_of_its_own(graph: Graph) -> None:
    made = graph("bootstrap", chain="minilm-1>minilm-3", fresh=True)
    for seed in (0, 1):
        learners = [made[role][seed] for role in ("intermediate 1", "intermediate 2", "student")]
        teachers = [made[role][seed] for role in ("weak", "intermediate 1", "intermediate 2")]
        for number, (learner, teacher) in enumerate(zip(learners, teachers, strict=True)):
            labels = learner.inputs["labels"]
            assert labels.inputs["labels"] == teacher
            assert labels.settings.model_dump() == {"operation": {"operation": "part", "part": number, "of": 3}}
    assert graph("bootstrap", fresh=False) == graph("bootstrap")


def test_the_strong_model_relabels_for_itself_as_often_as_it_is_told(graph: Graph) -> None:
    made = graph("bootstrap", chain_length=1, iterations=2)
    assert depths(made) == {
        "weak": 0,
        "ceiling": 5,
        **{f"intermediate {n}": d for n, d in ((1, 3), (2, 5), (3, 5))},
    } | {"student": 5}
    assert made["student"][0].inputs["labels"] == made["intermediate 3"][0]
    assert made == graph("bootstrap", chain="minilm-3>minilm-5>minilm-5")
    assert graph("bootstrap", iterations=0) == graph("bootstrap")


def test_iterations_alone_need_no_model_between_weak_and_strong(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["pairings"] = [{"weak": "minilm-0", "strong": "minilm-5"}]
    with pytest.raises(ValueError, match="iterations to methods"):
        Sweep.model_validate(data)
    data["methods"] = {"bootstrap": {"iterations": 1}}
    sweep = Sweep.model_validate(data)
    params = default_params(sweep, sweep.pairings[0], "bootstrap")
    made = stages_of(Parts(sweep), Experiment(0, sweep.pairings[0].name, "bootstrap", params, default=True))
    assert depths(made) == {"weak": 0, "ceiling": 5, "intermediate 1": 5, "student": 5}
    naive = stages_of(Parts(sweep), Experiment(0, sweep.pairings[0].name, "naive", {}, default=True))
    assert made["intermediate 1"] == naive["student"], "the first of them is the naive student"


@pytest.mark.parametrize(("name", "value"), [("fresh", 1), ("iterations", -1), ("iterations", True)])
def test_a_chain_setting_that_means_nothing_is_refused(ladder: Sweep, name: str, value: Any) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["methods"] = {"bootstrap": {name: value}}
    with pytest.raises(ValueError, match=f"methods.bootstrap.{name}: {name}: Input should be"):
        Sweep.model_validate(data)


@pytest.mark.parametrize("method", TRAINED)
def test_no_ground_truth_of_the_students_half_reaches_a_student(graph: Graph, method: str) -> None:
    """Walks the whole graph below the students: what trains on their half trains on labels of another model."""
    made = graph(method, alpha=0.5, intermediate__lr=2e-3)
    for student in made["student"]:
        below = [stage for stage in walk(student) if stage.kind == "finetune"]
        on_ground_truth = [stage for stage in below if "labels" not in stage.inputs]
        assert {finetune(stage).half for stage in on_ground_truth} == {"weak"}
        assert not set(below) & set(made["ceiling"])


def test_in_a_whole_plan_only_ceilings_learn_the_ground_truth_of_the_students_half(ladder: Sweep) -> None:
    finetunes = [stage for stage in walk(*plan_stages(Parts(ladder))) if stage.kind == "finetune"]
    knowing = [s for s in finetunes if finetune(s).half == "student" and "labels" not in s.inputs]
    assert {stage.execution.label for stage in knowing} == {"ceiling minilm-5 seed 0", "ceiling minilm-5 seed 1"}
    assert all(stage.inputs["labels"] not in knowing for stage in finetunes if "labels" in stage.inputs)


def test_only_students_are_private_to_a_trial_so_that_pruning_one_cancels_nothing_shared(graph: Graph) -> None:
    made = graph("bootstrap")
    assert {role for role, stages in made.items() for stage in stages if stage.execution.private} == {"student"}


def test_a_full_finetuning_reads_no_features(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["models"]["minilm-5"]["train"] = "full"
    parts = Parts(Sweep.model_validate(data))
    assert set(parts.baseline("minilm-5", "student", 0, "ceiling").inputs) == {"examples"}
    assert set(parts.baseline("minilm-0", "weak", 0, "weak").inputs) == {"examples", "features"}


def test_the_first_trial_of_a_method_is_its_default_moved_into_the_space(ladder: Sweep) -> None:
    data = ladder.model_dump(by_alias=True, exclude_none=True)
    data["space"] = {
        "lr": {"log_uniform": [1e-3, 1e-2]},  # the baseline's 6e-4 lies below
        "alpha": {"uniform": [0, 0.3], "when": {"method": "confidence"}},  # the method's 0.5 lies above
        "chain_length": {"int": [1, 3]},
        "batch_size": 16,
    }
    sweep = Sweep.model_validate(data)
    pairing = sweep.pairings[0]
    assert default_params(sweep, pairing, "naive") == {"lr": 1e-3, "batch_size": 16}
    assert default_params(sweep, pairing, "confidence") == {
        "lr": 1e-3,
        "batch_size": 16,
        "alpha": 0.3,
        "alpha_warmup": 0.2,
    }
    assert default_params(sweep, pairing, "bootstrap") == {"lr": 1e-3, "batch_size": 16, "chain_length": 3}
