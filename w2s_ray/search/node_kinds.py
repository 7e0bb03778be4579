"""The kinds of nodes that stages may get: those that an autoscaler beside us may have, else those that are there."""

import logging
from typing import Any

from w2s_ray.doctor.node_types import file_of_the_autoscaler, kinds_in
from w2s_ray.stages.devices import NodeKinds

_log = logging.getLogger("w2s_ray.search")


def node_kinds(ray: Any) -> NodeKinds:
    """Returns what the nodes of the Ray that was joined have, and how many of each kind there may be.

    On Kubernetes the autoscaler's types are not to be seen; what is there when the driver begins counts.
    """
    file = file_of_the_autoscaler(ray.get_runtime_context().gcs_address)
    if file is not None:
        try:
            return [(kind.resources, kind.count) for kind in kinds_in(file)]
        except (ValueError, OSError) as error:
            _log.warning("only the nodes that are there now count for who gets a GPU: %s", error)
    return [(dict(node["Resources"]), 1) for node in ray.nodes() if node["Alive"]]
