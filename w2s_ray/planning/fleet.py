"""The nodes of a simulated cluster: what is free on them, and how Ray places work.

As in Ray: work without GPUs avoids nodes with them, the oldest node that has room is taken, a group of workers gets all
its places or none. The autoscaler sees all waiting work at once, counts what the nodes that are starting will hold, and
asks for the rest in one step: `w2s_ray.planning.autoscaler`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from w2s_ray.planning.autoscaler import Room, nodes_for
from w2s_ray.planning.jobs import Job, fits
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.spec.resources import in_words, places_on


@dataclass
class Node:
    """One machine, from being asked for until it is gone."""

    number: int
    kind: str
    type: NodeType
    asked: float
    up: float
    free: dict[str, float]
    gone: float | None = None
    idle_since: float = 0.0
    running: set[str] = field(default_factory=set)
    processes: int = 0  # worker processes that have run a stage, and stay warm for others without a GPU
    busy: Counter[str] = field(default_factory=Counter)  # resource to its seconds in use

    def is_up(self, now: float) -> bool:
        """Whether work can be placed on it."""
        return self.gone is None and self.up <= now


def take(place: Node, job: Job, sign: int = 1) -> None:
    """Gives a worker of `job` its place, or with sign -1 takes it back."""
    for name, amount in job.demand.items():
        place.free[name] = place.free.get(name, 0.0) - sign * amount


class Fleet:
    """All nodes that were ever there, in the order in which they were asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.nodes: list[Node] = []
        self._alive: dict[int, Node] = {}  # of thousands that come and go few are there at a time

    def launch(self, kind: str, now: float, *, at_once: bool = False) -> Node:
        """Asks for a node, which is up after the start-up time; those of `min` are there from the beginning."""
        type_ = self.cluster.nodes[kind]
        up = now if at_once else now + 60 * type_.startup_minutes
        node = Node(len(self.nodes), kind, type_, now, up, dict(type_.capacity), idle_since=up)
        self.nodes.append(node)
        self._alive[node.number] = node
        return node

    def let_go(self, node: Node, now: float) -> None:
        """A node leaves: the cluster does not need it any more, or lost it."""
        node.gone = now
        del self._alive[node.number]

    def alive(self) -> list[Node]:
        """The nodes that are up or starting."""
        return list(self._alive.values())

    def place(self, job: Job, now: float) -> list[Node] | None:
        """Returns a node for each worker of `job` and takes the places; None where they are not free."""
        places: list[Node] = []
        for node in _preferred(job, [one for one in self.alive() if one.is_up(now)]):
            while len(places) < job.workers and node.kind in job.seconds and fits(job.demand, node.free):
                take(node, job)
                places.append(node)
        if len(places) < job.workers:
            for node in places:
                take(node, job, -1)
            return None
        for node in places:
            node.running.add(job.key)
        return places

    def missing(self, waiting: Iterable[Job], now: float) -> list[str]:
        """Returns the types of the nodes to ask for, so that all `waiting` jobs would have places, as far as allowed.

        Args:
            waiting: those for which there is no place now.
            now: nodes that are up later are starting.
        """
        counts = Counter(node.kind for node in self.alive())
        short = [kind for kind, type_ in self.cluster.nodes.items() for _ in range(type_.min - counts[kind])]
        counts.update(short)
        rooms = [Room(node.kind, node.type, node.free) for node in self.alive()]
        rooms += [Room.of_new(kind, self.cluster.nodes[kind]) for kind in short]
        spare = {kind: type_.max - counts[kind] for kind, type_ in self.cluster.nodes.items()}
        return short + nodes_for(waiting, rooms, self.cluster.nodes, spare)

    def is_above_min(self, node: Node) -> bool:
        """Whether the cluster may let a node go that has nothing to do."""
        return sum(other.kind == node.kind for other in self.alive()) > node.type.min


def capacity_problem(job: Job, cluster: Cluster) -> str:
    """Returns why `job` could never run on the cluster, however long it waits; empty if it could."""
    places = places_for(job.demand, cluster)
    if not places:
        return f"asks for {in_words(job.demand)}, which no node type has"
    if places < job.workers:
        return f"asks for {job.workers} workers of {in_words(job.demand)}, and all nodes together hold {places}"
    return ""


def places_for(demand: Mapping[str, float], cluster: Cluster) -> int:
    """Returns how many workers that ask for `demand` the cluster holds when all its nodes are up."""
    return places_on(cluster.kinds, demand)


def _preferred(job: Job, nodes: Iterable[Node]) -> Iterator[Node]:
    """Yields those first whose GPUs the job would not leave idle, each kind in its order."""
    wasteful: list[Node] = []
    for node in nodes:
        if node.type.gpus > 0 and not job.demand.get("GPU"):
            wasteful.append(node)
        else:
            yield node
    yield from wasteful
