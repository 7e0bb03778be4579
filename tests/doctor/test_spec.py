"""What a sweep asks for, against nodes and disks that have it or do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.doctor.finding import Finding
from w2s_ray.doctor.request import Request
from w2s_ray.doctor.spec import disk_of_the_store, resources
from w2s_ray.search.node_types import Kind
from w2s_ray.spec import ResourcePlan, Resources, Sweep, replace

CLUSTER = Path(__file__).parents[2] / "cluster"
NODES = (Kind("head", {"CPU": 0}, 1), Kind("worker", {"CPU": 8, "GPU": 1}, 2))


def asking(small: Sweep, **wanted: Any) -> Sweep:
    """A sweep whose strong model asks for that."""
    plan = ResourcePlan(models={"minilm-1": Resources.model_validate(wanted)})
    return replace(small, resources=plan)


def problems(found: list[Finding]) -> list[str]:
    return [f"{one.says}; {one.mend}" for one in found if one.state == "problem"]


def test_what_a_node_of_the_cluster_can_hold_is_well(small: Sweep) -> None:
    sweep = asking(small, cpus=8, gpus=0.1, workers=2)
    assert problems(resources(Request((sweep,), is_cluster=True, kinds=NODES))) == []


@pytest.mark.parametrize("wanted", [{"cpus": 9}, {"cpus": 1, "gpus": 2}])
def test_what_no_node_can_hold_is_a_problem_that_names_the_largest(small: Sweep, wanted: dict[str, Any]) -> None:
    (found,) = problems(resources(Request((asking(small, **wanted),), is_cluster=True, kinds=NODES)))
    assert "no node that can hold it; the largest have 8 CPU" in found
    assert "lower resources.models.minilm-1, or add a node type" in found


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        ({"accelerator": "A100"}, "no accelerator A100"),
        ({"memory": 40}, "32 GB memory"),
        ({"custom": {"cheap": 0.01}}, "0 cheap"),
    ],
)
def test_an_accelerator_memory_and_custom_resources_are_looked_for_as_well(
    small: Sweep, wanted: dict[str, Any], has: str
) -> None:
    nodes = (Kind("worker", {"CPU": 8, "memory": 32e9, "accelerator_type:L4": 1}, 2),)
    (found,) = problems(resources(Request((asking(small, **wanted),), is_cluster=True, kinds=nodes)))
    assert f"the largest have 8 CPU, {has}; lower resources.models.minilm-1" in found


def test_workers_that_do_not_all_find_a_place_are_a_problem(small: Sweep) -> None:
    sweep = asking(small, cpus=8, gpus=1, workers=3)
    (found,) = problems(resources(Request((sweep,), is_cluster=True, kinds=NODES)))
    assert "8 CPU and 1 GPU for each of 3 workers; there is room for 2 of them" in found


def test_a_group_that_may_be_narrower_is_well_where_its_fewest_workers_find_a_place(small: Sweep) -> None:
    for fewest, fits in ((2, True), (3, False)):
        sweep = asking(small, cpus=8, gpus=1, workers=4, min_workers=fewest)
        found = resources(Request((sweep,), is_cluster=True, kinds=NODES))
        assert any(f"for each of {fewest} to 4 workers" in one.says for one in found)
        assert (problems(found) == []) == fits


@pytest.mark.parametrize("name", ["aws.yaml", "plan_gcp.yaml", "kuberay/cluster.yaml", "kuberay/job.yaml"])
def test_node_types_of_a_file_may_hold_what_no_node_does_yet(small: Sweep, name: str) -> None:
    request = Request((asking(small, cpus=8, gpus=1, workers=8),), is_cluster=True, kinds=NODES[:1])
    assert len(problems(resources(request))) == 3
    assert problems(resources(Request(request.sweeps, None, CLUSTER / name, True, request.kinds))) == []


def test_a_file_that_is_no_launcher_file_is_answered_with_what_would_be(small: Sweep, tmp_path: Path) -> None:
    for text, said in (
        ("available_node_types: {cpu: {max_workers: 2}}", "does not say the resources of cpu"),
        ("name: small", "--cluster takes a launcher file, as in cluster/aws.yaml, a RayCluster"),
        ("{kind: RayCluster, spec: {}}", "is no RayCluster that KubeRay's autoscaler reads: KeyError"),
    ):
        (tmp_path / "any.yaml").write_text(text)
        with pytest.raises(ValueError, match=said):
            resources(Request((small,), cluster_file=tmp_path / "any.yaml"))


def test_a_file_of_node_types_that_stands_for_far_more_than_it_holds_is_refused_at_once(
    small: Sweep, tmp_path: Path
) -> None:
    merged = ["a0: &a0 {b: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30))]
    laughs = ["a0: &a0 [b]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    for text, said in (
        ("\n".join(merged), "has no available_node_types"),  # what is merged is counted once
        ("\n".join(laughs), "its aliases stand for more than"),
        ("a: " + "[" * 20_000, "not valid YAML"),
        ("a: " + "b" * (1 << 20), "too large"),
    ):
        (tmp_path / "any.yaml").write_text(text)
        with pytest.raises(ValueError, match=said):
            resources(Request((small,), cluster_file=tmp_path / "any.yaml"))


def test_more_cpus_than_this_machine_has_are_a_problem_but_not_for_features(small: Sweep) -> None:
    sweep = replace(asking(small, cpus=4096), resources=ResourcePlan(features=Resources(cpus=4096)))
    assert problems(resources(Request((sweep,)))) == []
    assert "this machine" not in str(problems(resources(Request((asking(small, cpus=4096),)))))
    assert len(problems(resources(Request((asking(small, cpus=4096),))))) == 1


def test_a_disk_that_the_plan_does_not_fit_on_is_a_problem(small: Sweep, disk_of: Callable[..., Path]) -> None:
    request = Request((small,), str(disk_of("128k")))
    (found,) = problems(disk_of_the_store(request))
    assert "what the plan has left to do takes about" in found
    assert "w2s gc" in found


def test_a_sweep_that_cannot_be_planned_is_a_problem_with_the_reason(small: Sweep, tmp_path: Path) -> None:
    sweep = replace(small, task=replace(small.task, source="./gone.csv"))
    (found,) = problems(disk_of_the_store(Request((sweep,), str(tmp_path))))
    assert "gone.csv" in found
