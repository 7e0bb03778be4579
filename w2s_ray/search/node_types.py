"""The kinds of nodes that a cluster has or may have: as a file says that is named, or the one its autoscaler reads.

Ray's autoscaler tells nobody which types it has. Beside the head its process is there to be seen, with the name of its
file; from elsewhere, and on Kubernetes, where it asks the operator, the file has to be named.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.spec import yaml

_OPTION = "--autoscaling-config="
_log = logging.getLogger("w2s_ray.search")


@dataclass(frozen=True)
class Kind:
    """Nodes that are alike.

    Attributes:
        name: of a node, or of a node type of an autoscaler.
        resources: of one of them, by Ray's names.
        count: how many there are, or may be.
    """

    name: str
    resources: dict[str, float]
    count: int


def kinds_in(path: Path) -> list[Kind]:
    """Returns the node types of a launcher file, of a RayCluster or RayJob of KubeRay's, or of a file to plan with.

    Raises:
        ValueError: it is none of them, or a type does not say what its nodes have.
    """
    data = yaml.load_data(path, "a cluster's file", "available_node_types", "cluster/aws.yaml")
    if "nodes" in data:
        return [Kind(name, node.capacity, node.max) for name, node in yaml.load_cluster(path).nodes.items()]
    is_manifest = data.get("kind") in ("RayCluster", "RayJob")
    types = _of_kuberay(data, path) if is_manifest else data.get("available_node_types")
    if not isinstance(types, dict):
        raise ValueError(
            f"{path} has no available_node_types; --cluster takes a launcher file, as in cluster/aws.yaml, "
            "a RayCluster, as in cluster/kuberay/cluster.yaml, or a file to plan with, as in cluster/plan_aws.yaml"
        )
    of_each = {name: kind if isinstance(kind, dict) else {} for name, kind in types.items()}
    silent = [name for name, kind in of_each.items() if not isinstance(kind.get("resources"), dict)]
    if silent:
        raise ValueError(f"{path} does not say the resources of {', '.join(silent)}; write {{CPU: ..., GPU: ...}}")
    head = data.get("head_node_type")
    counts = {name: 1 if name == head else kind.get("max_workers") or 0 for name, kind in types.items()}
    return [Kind(name, kind["resources"], counts[name]) for name, kind in types.items()]


def file_of_the_autoscaler(gcs: str) -> Path | None:
    """Returns the launcher file that the autoscaler of a cluster reads; None where that does not run on this machine.

    Args:
        gcs: host and port of the cluster, as Ray names them.
    """
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if f"--gcs-address={gcs}" in words:
            for word in words:
                if word.startswith(_OPTION) and Path(word.removeprefix(_OPTION)).is_file():
                    return Path(word.removeprefix(_OPTION))
    return None


def kinds_on(ray: Any) -> list[Kind]:
    """Returns the kinds of nodes of the Ray that was joined: those that its autoscaler may add, if it is beside us.

    On Kubernetes the autoscaler's types are not to be seen; what is there when the driver begins counts.
    """
    try:
        file = file_of_the_autoscaler(ray.get_runtime_context().gcs_address)
        if file is not None:
            return kinds_in(file)
    except (ValueError, OSError) as error:
        _log.warning("only the nodes that are there now are counted: %s", error)
    return [Kind(node["NodeID"], dict(node["Resources"]), 1) for node in ray.nodes() if node["Alive"]]


def are_kinds_hidden() -> bool:
    """Whether the cluster that is joined may have kinds of nodes that cannot be seen: an operator's, on Kubernetes."""
    return bool(os.environ.get("RAY_ADDRESS") and os.environ.get("KUBERNETES_SERVICE_HOST"))


def _of_kuberay(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    from ray.autoscaler._private.kuberay import autoscaling_config as kuberay

    try:
        spec = data["spec"].get("rayClusterSpec") or data["spec"]
        return dict(kuberay._generate_available_node_types_from_ray_cr_spec(spec))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no {data['kind']} that KubeRay's autoscaler reads: {error!r}") from None
