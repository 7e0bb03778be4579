"""Who gets a GPU where the spec does not say: by the model's size, by what is done with it, and by what nodes have."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search.node_types import kinds_on
from w2s_ray.spec import Resources, Sweep, replace, yaml
from w2s_ray.spec.resources import NodeKinds, ResourcePlan
from w2s_ray.stages.devices import LARGE, with_gpus
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import SPENT

CPU: tuple[dict[str, float], int] = ({"CPU": 8}, 4)
GPU: tuple[dict[str, float], int] = ({"CPU": 8, "GPU": 1}, 2)


def parts(small: Sweep, resources: Resources | None = None, **strong: Any) -> Parts:
    """`large` is MiniLM whole, 22.7 million parameters; cut to one layer it is `minilm-1`, 13.8."""
    large = replace(small.models["minilm-1"], depth=None, **strong)
    plan = ResourcePlan(default=resources or Resources(), features=Resources(cpus=2))
    return Parts(replace(small, models={**small.models, "large": large}, resources=plan))


def trained(made: Parts, name: str = "large") -> Stage:
    return made.baseline(name, "student", 0, "ceiling")


def gpus(stage: Stage, *kinds: tuple[dict[str, float], int]) -> float | None:
    return with_gpus(stage, kinds).execution.resources.gpus


@pytest.mark.parametrize(
    ("train", "expected"), [("full", 1), ("lora", 1), ("top", 1), ("lp-ft", 1), ("head", 0), ("knn", 0)]
)
def test_training_a_large_network_gets_one_and_a_head_on_stored_features_does_not(
    small: Sweep, train: str, expected: float
) -> None:
    stage = trained(parts(small, train=train))
    assert gpus(stage, CPU, GPU) == expected
    assert gpus(stage, CPU) == 0
    assert with_gpus(stage, [GPU]).address == stage.address


def test_features_and_prompts_of_a_large_model_get_one_and_all_else_does_not(small: Sweep) -> None:
    made = parts(small)
    assert gpus(made.features("large"), GPU) == 1
    assert gpus(made.prompt("large", trained(made), {}, 0), GPU) == 1
    assert gpus(made.examples, GPU) == 0
    assert gpus(trained(parts(small, train="full")).inputs["examples"], GPU) == 0


def test_a_small_model_stays_on_a_cpu_and_one_pass_is_as_large_as_its_deepest_model(small: Sweep) -> None:
    shallow = replace(small.models["minilm-1"], train="full")
    assert gpus(trained(Parts(replace(small, models={**small.models, "minilm-1": shallow})), "minilm-1"), GPU) == 0
    assert gpus(Parts(small).features("minilm-1"), GPU) == 0
    assert gpus(parts(small).features("minilm-1"), GPU) == 1, "the pass is that of `large`"


@pytest.mark.parametrize("said", [0, 0.5, 2])
def test_what_the_spec_says_wins(small: Sweep, said: float) -> None:
    assert gpus(trained(parts(small, Resources(gpus=said), train="full")), GPU) == said


@pytest.mark.parametrize(
    "resources",
    [
        Resources(cpus=16),
        Resources(memory=1),
        Resources(accelerator="A100"),
        Resources(custom={"big": 0.01}),
        Resources(workers=3),
    ],
)
def test_no_stage_waits_for_a_gpu_beside_which_the_rest_of_what_it_asks_for_is_not(
    small: Sweep, resources: Resources
) -> None:
    able: NodeKinds = [({"CPU": 16, "GPU": 1, "memory": 2e9, "accelerator_type:A100": 1, "big": 1}, 3)]
    stage = trained(parts(small, resources, train="full"))
    assert gpus(stage, *able) == 1
    assert gpus(stage, GPU) == 0


def test_the_page_of_the_spec_says_from_which_size_on() -> None:
    said = Resources.model_fields["gpus"].description or ""
    assert f"{LARGE // 1_000_000} million parameters" in said


def test_a_ray_without_gpus_is_seen_as_one(ray: Any) -> None:
    (kind,) = kinds_on(ray)
    assert (kind.resources["CPU"], kind.resources.get("GPU", 0), kind.count) == (2, 0, 1)


PROGRAM = """
import sys
import ray
from w2s_ray.methods import Parts
from w2s_ray.search.node_types import kinds_on
from w2s_ray.spec import yaml
from w2s_ray.stages.broker import start_broker
from w2s_ray.stages.store import Store

sweep = yaml.load(sys.argv[1])
ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
broker = start_broker(Store(sweep.store), sweep.name, kinds=[(kind.resources, kind.count) for kind in kinds_on(ray)])
ray.get(broker.produce.remote(Parts(sweep).baseline("large", "student", 0, "ceiling"), 0))
"""


@pytest.mark.slow
def test_on_a_node_that_ray_counts_a_gpu_of_features_hold_it_and_the_head_does_not(
    small: Sweep, tmp_path: Path
) -> None:
    made = parts(small).sweep
    (tmp_path / "sweep.yaml").write_text(yaml.dump(made), encoding="utf-8")
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "sweep.yaml")], check=True, timeout=300)
    text = (Store(small.store).sweep_folder(small.name) / SPENT).read_text(encoding="utf-8")
    held = {line["address"]: line["gpus"] for line in map(json.loads, text.splitlines())}
    ceiling = trained(parts(small))
    (features,) = held.keys() - {ceiling.address, ceiling.inputs["examples"].address}
    assert held == {ceiling.address: 0, ceiling.inputs["examples"].address: 0, features: 1}
