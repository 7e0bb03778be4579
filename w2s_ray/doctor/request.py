"""What is to be examined, as the driver of a sweep would meet it."""

from dataclasses import dataclass
from pathlib import Path

from w2s_ray.search.node_types import Kind
from w2s_ray.spec import Sweep


@dataclass(frozen=True)
class Request:
    """A sweep or several, their store, and the nodes there are or may be.

    Attributes:
        sweeps: empty where no spec was given.
        store: an absolute folder; None where none was named, on a cluster.
        cluster_file: says the node types that an autoscaler may add; see `search.node_types`.
        is_cluster: whether Ray is joined rather than started here.
        kinds: filled in once the nodes are known.
    """

    sweeps: tuple[Sweep, ...] = ()
    store: str | None = None
    cluster_file: Path | None = None
    is_cluster: bool = False
    kinds: tuple[Kind, ...] = ()
