"""What a worker needs in memory follows from what it does, and what will not fit is said."""

from typing import Any

import pytest

from w2s_ray.planning.memory import PROCESS, memory_text, needs_of
from w2s_ray.spec import Sweep
from w2s_ray.spec.cluster import Cluster, NodeType

WIDTH, LAYER = 384, 12 * 384**2  # of MiniLM
PARAMETERS = 22_713_216 - 4 * LAYER  # of two layers
ACTIVATIONS = 68 * 32 * 64 * 2 * WIDTH  # of 32 examples of 64 tokens in two layers


def sweep(train: str = "full", resources: dict[str, Any] | None = None, **model: Any) -> Sweep:
    shared = {"source": "minilm", "max_length": 64, "baseline": {"batch_size": 32}}
    return Sweep.model_validate(
        {
            "name": "one",
            "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 80, "validation": 20, "test": 60}},
            "models": {"a": {**shared, "depth": 0}, "b": {**shared, "depth": 2, "train": train, **model}},
            "pairings": [{"weak": "a", "strong": "b"}],
            "methods": ["naive"],
            "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
            "resources": resources or {},
        }
    )


def of(made: Sweep, role: str, cluster: Cluster | None = None) -> Any:
    return next(one for one in needs_of(made, cluster) if one.role == role)


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("full", 16 * PARAMETERS + ACTIVATIONS),
        ("lora", 4 * PARAMETERS + ACTIVATIONS),
        ("top", 4 * PARAMETERS + 12 * LAYER + ACTIVATIONS / 2),
        ("head", 4 * 200 * WIDTH),
    ],
)
def test_a_training_needs_what_the_formula_says(train: str, expected: float) -> None:
    assert of(sweep(train), f"b ({train})").bytes == pytest.approx(PROCESS + expected)


def test_workers_and_micro_batches_need_less_and_a_larger_batch_in_the_space_more() -> None:
    shared = {"models": {"b": {"workers": 2}}}
    assert of(sweep(resources=shared), "b (full)").bytes == pytest.approx(PROCESS + 16 * PARAMETERS + ACTIVATIONS / 2)
    small = {"models": {"b": {"micro_batch": 8}}}
    assert of(sweep(resources=small), "b (full)").bytes == pytest.approx(PROCESS + 16 * PARAMETERS + ACTIVATIONS / 4)
    searched = Sweep.model_validate({**sweep().model_dump(), "space": {"batch_size": {"choice": [16, 64]}}})
    assert of(searched, "b (full)").bytes == pytest.approx(PROCESS + 16 * PARAMETERS + ACTIVATIONS * 2)


def test_features_and_trainings_that_get_a_gpu_by_default_are_measured_by_its_memory() -> None:
    made = sweep(depth=None)
    for size, problem in ((24, ""), (0.9, "takes 1.5")):
        node = NodeType(cpus=4, memory=64, gpus=1, gpu_memory=size, tflops_per_gpu=10)
        need = of(made, "b (full)", Cluster(nodes={"gpu": node}))
        assert need.problem.startswith(problem), need
        assert bool(need.problem) == bool(problem)


def test_bfloat16_halves_the_activations_and_no_weight() -> None:
    made = sweep(baseline={"precision": "bfloat16"})
    assert of(made, "b (full)").bytes == pytest.approx(PROCESS + 16 * PARAMETERS + ACTIVATIONS / 2)


def test_a_model_of_unknown_size_needs_nobody_knows_what() -> None:
    need = of(sweep(source="someone/some-model", revision="0" * 40, depth=None), "b (full)")
    assert (need.bytes, need.problem) == (None, "")
    assert any("b (full): unknown until the model is here" in line for line in memory_text([need]))


def test_what_this_machine_cannot_hold_side_by_side_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert of(sweep(), "b (full)").problem == ""
    monkeypatch.setattr("w2s_ray.planning.memory.os.cpu_count", lambda: 4096)
    made = sweep(max_length=100_000)
    problem = of(made, "b (full)").problem
    assert "12 side by side take" in problem, "four trials of three seeds"
    assert f"warning    b (full): {problem}" in memory_text([of(made, "b (full)")])


def test_a_node_type_without_the_memory_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"models": {"b": {"gpus": 0.5}}}
    need = of(sweep(resources=gpu), "b (full)").bytes
    for memory, fits in ((2.1 * need / 1e9, True), (1.9 * need / 1e9, False)):
        node = NodeType(cpus=4, gpus=1, gpu_memory=memory, tflops_per_gpu=10)
        problem = of(sweep(resources=gpu), "b (full)", Cluster(nodes={"big": node})).problem
        assert (problem == "") == fits
    assert "more than a worker's share of big; lower micro_batch, or add larger nodes" in problem
    for cpus, fits in ((1, True), (2, False)):  # two workers of one CPU each share a node's memory
        node = NodeType(cpus=cpus, memory=1.5 * need / 1e9)
        assert (of(sweep(), "b (full)", Cluster(nodes={"small": node})).problem == "") == fits
