"""The KubeRay manifests through Ray's own reading of them, and what we promise of them beyond it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import validate_config

KUBERAY = Path(__file__).parents[2] / "cluster" / "kuberay"


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERAY / name).read_text(encoding="utf-8")))


def cluster() -> dict[str, Any]:
    resource = copy.deepcopy(read("cluster.yaml")[0])
    resource["metadata"]["namespace"] = "default"
    return resource


def containers(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [one for item in node for one in containers(item)]
    if not isinstance(node, dict):
        return []
    here = [one for one in node.get("containers", []) if "image" in one]
    return here + [one for value in node.values() for one in containers(value)]


def test_rays_autoscaler_reads_the_cluster_and_may_shrink_it_to_its_head() -> None:
    config = _derive_autoscaling_config_from_ray_cr(cluster())
    validate_config(config)
    kinds = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}
    assert {name: (kind["min_workers"], kind["resources"]["GPU"]) for name, kind in kinds.items()} == {
        "gpu-on-demand": (0, 1),
        "gpu-spot": (0, 1),
    }


@pytest.mark.parametrize("key", ["maxReplicas", "minReplicas", "groupName"])
def test_rays_autoscaler_refuses_the_cluster_with_a_typo(key: str) -> None:
    resource = cluster()
    group = resource["spec"]["workerGroupSpecs"][1]
    group[key + "s"] = group.pop(key)
    with pytest.raises(KeyError, match=key):
        _derive_autoscaling_config_from_ray_cr(resource)


def test_the_cluster_asks_for_a_token_and_scales_by_itself() -> None:
    spec = cluster()["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "w2s-ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


@pytest.mark.parametrize("name", ["cluster.yaml", "job.yaml", "services.yaml"])
def test_every_container_has_limits_and_no_password_of_its_own(name: str) -> None:
    found = containers(read(name))
    assert found
    for one in found:
        assert set(one["resources"]["limits"]) >= {"cpu", "memory"}
        for variable in one.get("env", []):
            assert "PASSWORD" not in variable["name"] or "secretKeyRef" in variable["valueFrom"]


def test_the_job_may_be_retried_and_brings_that_cluster() -> None:
    (job,) = read("job.yaml")
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["rayClusterSpec"] == cluster()["spec"]


def test_every_service_is_behind_a_network_policy() -> None:
    documents = read("services.yaml")
    served = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    assert served <= {d["metadata"]["name"] for d in documents if d["kind"] == "NetworkPolicy"}
