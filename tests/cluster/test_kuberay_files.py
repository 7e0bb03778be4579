"""The KubeRay manifests through Ray's own reading of them, and what we promise of them beyond it."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifest_schema import manifest_problems
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import validate_config

KUBERAY = Path(__file__).parents[2] / "cluster" / "kuberay"
PAGE = KUBERAY.parents[1] / "docs" / "cluster-kubernetes.md"
FILES = ("services.yaml", "cluster.yaml", "job.yaml")


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERAY / name).read_text(encoding="utf-8")))


def problems(**instead: str) -> list[str]:
    """Of all manifests together, one of them perhaps with another text, and with the claims and secrets of the page."""
    texts = {name: (KUBERAY / name).read_text(encoding="utf-8") for name in FILES} | instead
    documents = [one for text in texts.values() for one in yaml.safe_load_all(text)]
    page = PAGE.read_text(encoding="utf-8")
    secrets = set(re.findall(r"create secret generic (\S+)", page))
    return manifest_problems(documents, given={"claims": set(re.findall(r"claim `(\S+)`", page)), "secrets": secrets})


def cluster() -> dict[str, Any]:
    resource = copy.deepcopy(read("cluster.yaml")[0])
    resource["metadata"]["namespace"] = "default"
    return resource


def pods(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from pods(item)
    elif isinstance(node, dict):
        if "containers" in node:
            yield node
        for value in node.values():
            yield from pods(value)


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


def test_kubernetes_and_kuberay_know_every_field_and_all_names_and_labels_meet() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("name", "right", "typo"),
    [
        ("job.yaml", "shutdownAfterJobFinishes", "shutdownAfterJobFinish"),
        ("job.yaml", "backoffLimit: 3", "backofLimit: 3"),
        ("job.yaml", "rayClusterSpec", "rayClusterSpecs"),
        ("job.yaml", "automountServiceAccountToken", "automountServiceAccountTokens"),
        ("cluster.yaml", "automountServiceAccountToken: false", "automountServiceAccountTokens: false"),
        ("cluster.yaml", "nodeSelector", "nodeSelectors"),
        ("cluster.yaml", "persistentVolumeClaim", "persistentVolumeClaims"),
        ("cluster.yaml", "enableInTreeAutoscaling", "enableInTreeAutoscaler"),
        ("cluster.yaml", "idleTimeoutSeconds", "idleTimeoutSecond"),
        ("cluster.yaml", "priority: 1", "priorities: 1"),
        ("cluster.yaml", "claimName: w2s-store", "claimName: w2s-stores"),
        ("cluster.yaml", "app: w2s-ray", "app: w2s-rays"),
        ("services.yaml", "policyTypes", "policyType"),
        ("services.yaml", "matchLabels: {app: w2s-ray}", "matchLabels: {app: w2s-rays}"),
        ("services.yaml", "job-name: w2s-sweep", "job-name: w2s-sweeps"),
        ("services.yaml", "selector: {app: w2s-mlflow}", "selector: {app: mlflow}"),
        ("services.yaml", "volumeClaimTemplates", "volumeClaimTemplate"),
        ("services.yaml", "readinessProbe", "readynessProbe"),
        ("services.yaml", "secretKeyRef: {name: w2s-postgres", "secretKeyRef: {name: w2s-database"),
    ],
)
def test_a_typo_is_found(name: str, right: str, typo: str) -> None:
    text = (KUBERAY / name).read_text(encoding="utf-8")
    assert right in text
    try:
        found = " ".join(problems(**{name: text.replace(right, typo)}))
    except KeyError as error:  # of what every manifest must have
        found = str(error)
    assert set(re.findall(r"[\w-]+", typo + " " + right)) & set(re.findall(r"[\w-]+", found))


@pytest.mark.parametrize("name", FILES)
def test_every_pod_that_writes_to_a_volume_is_of_the_images_user_and_gets_the_volume_for_its_group(name: str) -> None:
    found = list(pods(read(name)))
    assert found
    for pod in found:
        who = pod["securityContext"]
        assert who["runAsNonRoot"] is True
        assert who["fsGroup"] == who["runAsGroup"]
        assert who["fsGroupChangePolicy"] == "OnRootMismatch"
        assert who["runAsUser"] == (999 if pod["containers"][0]["image"].startswith("postgres:") else 1000)


def test_the_image_is_made_of_the_package_and_nothing_else_of_the_folder() -> None:
    root = KUBERAY.parents[1]
    rules = [line for line in (root / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert rules[0] == "*"
    copied = {rule[1:] for rule in rules if rule.startswith("!")}
    assert copied == {"README.md", "constraints.txt", "pyproject.toml", "w2s_ray"}
    assert all((root / name).exists() for name in copied)


def test_what_the_page_deletes_leaves_the_claims() -> None:
    assert not [document for name in FILES for document in read(name) if document["kind"] == "PersistentVolumeClaim"]
    (server,) = [document for document in read("services.yaml") if document["kind"] == "StatefulSet"]
    (claim,) = server["spec"]["volumeClaimTemplates"]
    kept = f"{claim['metadata']['name']}-{server['metadata']['name']}-0"
    assert f"`{kept}` (all studies)" in PAGE.read_text(encoding="utf-8")


def test_the_token_that_the_page_has_one_make_is_for_its_owner_alone_to_read() -> None:
    made = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "get-auth-token --generate" in line]
    assert made
    assert all("umask 077; ray get-auth-token --generate" in line for line in made)  # Ray itself leaves it to all


def test_the_cluster_asks_for_a_token_and_scales_by_itself() -> None:
    spec = cluster()["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "w2s-ray-token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


@pytest.mark.parametrize("name", FILES)
def test_every_container_has_limits_and_no_password_of_its_own(name: str) -> None:
    found = [one for pod in pods(read(name)) for one in pod["containers"]]
    assert found
    for one in found:
        assert set(one["resources"]["limits"]) >= {"cpu", "memory"}
        for variable in one.get("env", []):
            assert "PASSWORD" not in variable["name"] or "secretKeyRef" in variable["valueFrom"]


@pytest.mark.parametrize("name", FILES)
def test_no_container_has_what_a_secret_holds_on_its_command_line_where_all_of_the_node_may_see_it(name: str) -> None:
    for one in (one for pod in pods(read(name)) for one in pod["containers"]):
        line = " ".join(one.get("command", []) + one.get("args", []))
        secrets = [variable["name"] for variable in one.get("env", []) if "valueFrom" in variable]
        assert not [secret for secret in secrets if secret in line]


def test_the_job_may_be_retried_and_brings_that_cluster() -> None:
    (job,) = read("job.yaml")
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["rayClusterSpec"] == cluster()["spec"]


def test_every_service_is_behind_a_network_policy() -> None:
    documents = read("services.yaml")
    served = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    assert served <= {d["metadata"]["name"] for d in documents if d["kind"] == "NetworkPolicy"}
