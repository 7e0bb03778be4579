"""What a plan says that the autoscaler asks for, against Ray's own scheduler: on our files, and on random clusters."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml as plain_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig, NodeTypeConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from w2s_ray.planning.fleet import Fleet
from w2s_ray.planning.jobs import Job
from w2s_ray.spec import Resources, yaml
from w2s_ray.spec.cluster import Cluster, NodeType

CLUSTER = Path(__file__).parents[2] / "cluster"


def bought_by_ray(types: dict[str, NodeTypeConfig], jobs: Sequence[Job]) -> Counter[str]:
    """The nodes that Ray's autoscaler starts for jobs that wait on an empty cluster."""
    one = [dict(job.demand) for job in jobs if job.workers == 1]
    gangs = [[ResourceRequestUtil.make(dict(job.demand))] * job.workers for job in jobs if job.workers > 1]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=types,
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(demand) for demand in one]),
        gang_resource_requests=[GangResourceRequest(requests=gang) for gang in gangs],
    )
    reply = ResourceDemandScheduler(event_logger=None).schedule(request)
    return Counter({launch.instance_type: launch.count for launch in reply.to_launch})


def bought_by_the_plan(cluster: Cluster, jobs: Sequence[Job]) -> Counter[str]:
    fleet = Fleet(cluster)
    for kind, node in cluster.nodes.items():
        for _ in range(node.min):
            fleet.launch(kind, 0.0, at_once=True)
    return Counter(fleet.missing(jobs, 0.0))


def jobs_of(cluster: Cluster, *asked: Resources) -> list[Job]:
    return [
        Job(str(number), dict.fromkeys(cluster.nodes, 1.0), one.demand, workers=one.workers)
        for number, one in enumerate(asked)
    ]


def launcher(name: str) -> dict[str, NodeTypeConfig]:
    config = plain_yaml.safe_load((CLUSTER / f"{name}.yaml").read_text(encoding="utf-8"))
    types = AutoscalingConfig(config, skip_content_hash=True).get_node_type_configs()
    assert types is not None
    return dict(types)


@pytest.mark.parametrize(
    ("count", "bought"),
    [(1, {"gpu-spot": 1}), (2, {"gpu-spot": 2}), (5, {"gpu-spot": 5}), (8, {"gpu-spot": 6, "gpu-on-demand": 2})],
)
@pytest.mark.parametrize(("name", "accelerator"), [("aws", "A10G"), ("gcp", "L4")])
@pytest.mark.parametrize("is_asked_for_by_type", [False, True])
def test_rays_autoscaler_buys_with_our_launcher_files_what_the_plan_says(
    name: str, accelerator: str, is_asked_for_by_type: bool, count: int, bought: dict[str, int]
) -> None:
    more: dict[str, Any] = {"accelerator": accelerator, "memory": 16} if is_asked_for_by_type else {}
    planned = yaml.load_cluster(CLUSTER / f"plan_{name}.yaml")
    jobs = jobs_of(planned, *[Resources(gpus=1, cpus=2, **more)] * count)
    assert bought_by_ray(launcher(name), jobs) == bought_by_the_plan(planned, jobs) == bought


@pytest.mark.parametrize(("count", "bought"), [(1, {"gpu-spot": 1}), (8, {"gpu-spot": 6, "gpu-on-demand": 2})])
def test_rays_autoscaler_takes_the_spot_group_of_the_manifests_first(count: int, bought: dict[str, int]) -> None:
    resource = plain_yaml.safe_load((CLUSTER / "kuberay" / "cluster.yaml").read_text(encoding="utf-8"))
    resource["metadata"]["namespace"] = "default"
    config = AutoscalingConfig(_derive_autoscaling_config_from_ray_cr(resource), skip_content_hash=True)
    types = config.get_node_type_configs()
    assert types is not None
    asked = [Job(str(number), {}, Resources(gpus=1, memory=16).demand) for number in range(count)]
    assert bought_by_ray(dict(types), asked) == bought


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    def drawn() -> NodeType:
        gpus = draw(st.sampled_from([0, 0, 1, 4]))
        return NodeType(
            cpus=draw(st.sampled_from([1, 2, 8])),
            gpus=gpus,
            accelerator=draw(st.sampled_from([None, "A100"])) if gpus else None,
            tflops_per_gpu=1 if gpus else None,
            memory=draw(st.sampled_from([8, 32])),
            priority=draw(st.integers(0, 1)),
            max=draw(st.integers(1, 4)),
        )

    return Cluster(nodes={f"type {number}": drawn() for number in range(draw(st.integers(1, 3)))})


_ASKED = st.builds(
    Resources,
    cpus=st.sampled_from([1, 2, 4]),
    gpus=st.sampled_from([0, 0, 0.5, 1]),
    accelerator=st.sampled_from([None, None, "A100"]),
    memory=st.sampled_from([None, 2, 6]),
    workers=st.sampled_from([1, 1, 1, 2, 3]),
)


@given(cluster=clusters(), asked=st.lists(_ASKED, min_size=1, max_size=12))
@settings(deadline=None)
def test_the_plan_asks_for_the_nodes_that_rays_scheduler_asks_for(cluster: Cluster, asked: list[Resources]) -> None:
    types = {
        kind: NodeTypeConfig(
            name=kind,
            min_worker_nodes=node.min,
            max_worker_nodes=node.max,
            priority=node.priority,
            resources={name: amount for name, amount in node.capacity.items() if 0 < amount < math.inf},
        )
        for kind, node in cluster.nodes.items()
    }
    jobs = jobs_of(cluster, *asked)
    assert bought_by_the_plan(cluster, jobs) == bought_by_ray(types, jobs)
