"""What a manifest may say: Kubernetes' own schemas, KubeRay's fields, and names and labels that have to meet.

KubeRay's schemas are in no package, so its fields are named here, as of its version 1.7; every pod in them is
Kubernetes' again.
"""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate

KUBERNETES = "1.33"
_CLUSTER = {
    "authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec",
    "headServiceAnnotations", "managedBy", "networkPolicy", "rayVersion", "suspend", "tlsOptions", "upgradeStrategy",
    "workerGroupSpecs",
}  # fmt: skip
_JOB = {
    "activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint", "entrypointNumCpus",
    "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata", "preRunningDeadlineSeconds",
    "rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig",
    "submitterPodTemplate", "suspend", "ttlSecondsAfterFinished",
}  # fmt: skip
_AUTOSCALER = {
    "args", "command", "env", "envFrom", "idleTimeoutSeconds", "image", "imagePullPolicy", "resources",
    "securityContext", "upscalingMode", "version", "volumeMounts",
}  # fmt: skip
_GROUP = {"labels", "rayStartParams", "resources", "template"}
_HEAD = _GROUP | {"enableIngress", "headService", "ingressOptions", "serviceType"}
_WORKERS = _GROUP | {
    "groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "priority", "replicas",
    "scaleStrategy", "suspend",
}  # fmt: skip
_OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}


def manifest_problems(documents: list[dict[str, Any]], *, given: dict[str, set[str]]) -> list[str]:
    """Everything in manifests that no schema knows, and every name or label in them that meets nothing.

    Args:
        documents: of all files that are applied together.
        given: names of claims and secrets that are made beforehand, under `claims` and `secrets`.
    """
    return [problem for document in documents for problem in _unknown(document)] + list(_unmet(documents, given))


def _unknown(document: dict[str, Any]) -> Iterator[str]:
    if document["apiVersion"] != "ray.io/v1":
        yield from _unknown_to_kubernetes(document)
    elif document["kind"] == "RayJob":
        yield from _beyond(document["spec"], _JOB, "RayJob")
        yield from _beyond(document["spec"]["submitterConfig"], {"backoffLimit"}, "submitterConfig")
        yield from _unknown_of_a_cluster(document["spec"]["rayClusterSpec"])
    else:
        yield from _unknown_of_a_cluster(document["spec"])


def _unknown_of_a_cluster(spec: dict[str, Any]) -> Iterator[str]:
    yield from _beyond(spec, _CLUSTER, "RayCluster")
    yield from _beyond(spec["authOptions"], {"enableK8sTokenAuth", "mode", "secretName"}, "authOptions")
    yield from _beyond(spec["autoscalerOptions"], _AUTOSCALER, "autoscalerOptions")
    yield from _beyond(spec["autoscalerOptions"]["resources"], {"claims", "limits", "requests"}, "resources")
    yield from _beyond(spec["headGroupSpec"], _HEAD, "headGroupSpec")
    for group in spec["workerGroupSpecs"]:
        yield from _beyond(group, _WORKERS, "workerGroupSpecs")
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": group["template"]}
        yield from _unknown_to_kubernetes(pod)


def _beyond(mapping: dict[str, Any], known: set[str], where: str) -> Iterator[str]:
    yield from (f"{where}: {key}" for key in mapping.keys() - known)


def _unknown_to_kubernetes(document: dict[str, Any]) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{document['kind']} {document['metadata']['name']}: {error.message}"


def _unmet(documents: list[dict[str, Any]], given: dict[str, set[str]]) -> Iterator[str]:
    pods = [template.get("metadata", {}).get("labels", {}) for template in _every(documents, "template")]
    jobs = [{"job-name": one["metadata"]["name"]} for one in documents if one["kind"] == "RayJob"]
    selectors = list(_every(documents, "matchLabels"))
    selectors += [one["spec"]["selector"] for one in _of_kind(documents, "Service")]
    for wanted in selectors:
        if not any(wanted.items() <= labels.items() for labels in (*pods, *jobs, _OPERATOR)):
            yield f"{wanted} is on no pod"
    guarded = [one["spec"]["podSelector"]["matchLabels"] for one in _of_kind(documents, "NetworkPolicy")]
    yield from (f"{pod} is behind no policy" for pod in pods if not any(one.items() <= pod.items() for one in guarded))
    made = {one["metadata"]["name"] for one in _of_kind(documents, "ConfigMap")}
    claims = (one["claimName"] for one in _every(documents, "persistentVolumeClaim"))
    yield from (f"no claim {one}" for one in claims if one not in given["claims"])
    yield from (f"no secret {one}" for one in _secrets(documents) if one not in given["secrets"])
    yield from (f"no map {one['name']}" for one in _every(documents, "configMap") if one["name"] not in made)


def _secrets(documents: list[dict[str, Any]]) -> Iterator[str]:
    yield from (one["name"] for one in _every(documents, "secretKeyRef"))
    yield from (one["secretName"] for one in _every(documents, "authOptions"))


def _of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in documents if one["kind"] == kind]


def _every(node: Any, key: str) -> Iterator[Any]:
    """All values under a key, however deep."""
    if isinstance(node, list):
        for item in node:
            yield from _every(item, key)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _every(value, key)
