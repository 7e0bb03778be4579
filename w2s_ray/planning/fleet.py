"""The nodes of a simulated cluster: what is free on them, how Ray places work, and what the autoscaler asks for.

As in Ray: work without GPUs avoids nodes with them, the oldest node that has room is taken, a group of workers gets all
its places or none. The autoscaler sees all waiting work at once, counts what the nodes that are starting will hold, and
asks for the rest in one step. Of the types that fit it takes the cheapest; Ray's own takes the one that the work fills
best, which is the same where bigger nodes cost more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from w2s_ray.planning.jobs import Job, fits
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.spec.resources import in_words, places_in

_Place = TypeVar("_Place")


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
    processes: int = 0  # worker processes that have run a stage and stay warm
    busy: Counter[str] = field(default_factory=Counter)  # resource to its seconds in use

    def is_up(self, now: float) -> bool:
        """Whether work can be placed on it."""
        return self.gone is None and self.up <= now


@dataclass
class _Room:
    """What is free on a node that is there or asked for, while the autoscaler counts."""

    kind: str
    type: NodeType
    free: dict[str, float]


def take(place: "Node | _Room", job: Job, sign: int = 1) -> None:
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
        for node in _preferred(job, [one for one in self.alive() if one.is_up(now)], lambda one: one.type):
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
        free = [_Room(node.kind, node.type, dict(node.free)) for node in self.alive()]
        free += [self._new(kind) for kind in short]
        asked, hopeless = list(short), set[tuple[object, ...]]()
        for job in waiting:
            if job.shape in hopeless:
                continue
            more = self._reserve(job, free, counts)
            if more is None:
                hopeless.add(job.shape)
                continue
            asked += more
            counts.update(more)
        return asked

    def _new(self, kind: str) -> "_Room":
        type_ = self.cluster.nodes[kind]
        return _Room(kind, type_, dict(type_.capacity))

    def _reserve(self, job: Job, free: list["_Room"], counts: Counter[str]) -> list[str] | None:
        """Takes places for `job` in `free`, which grows by the nodes that it needs; returns their types."""
        taken: list[_Room] = []
        more: list[_Room] = []
        for room in _preferred(job, free, lambda one: one.type):
            while len(taken) < job.workers and room.kind in job.seconds and fits(job.demand, room.free):
                take(room, job)
                taken.append(room)
            if len(taken) == job.workers:
                break
        while len(taken) < job.workers:
            if not (more and fits(job.demand, more[-1].free)):
                kind = self._cheapest(job, counts + Counter(room.kind for room in more))
                if kind is None:
                    for room in taken:
                        take(room, job, -1)
                    return None
                more.append(self._new(kind))
            take(more[-1], job)
            taken.append(more[-1])
        free += more
        return [room.kind for room in more]

    def _cheapest(self, job: Job, counts: Mapping[str, int]) -> str | None:
        kinds = [
            kind
            for kind, type_ in self.cluster.nodes.items()
            if kind in job.seconds and counts.get(kind, 0) < type_.max and fits(job.demand, type_.capacity)
        ]
        types = self.cluster.nodes
        return min(kinds, key=lambda kind: (_wastes_gpu(job, types[kind]), types[kind].price), default=None)

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
    return sum(type_.max * places_in(type_.capacity, demand) for type_ in cluster.nodes.values())


def _preferred(job: Job, places: Iterable[_Place], type_of: Callable[[_Place], NodeType]) -> Iterator[_Place]:
    """Yields those first whose GPUs the job would not leave idle, each kind in its order."""
    wasteful: list[_Place] = []
    for place in places:
        if _wastes_gpu(job, type_of(place)):
            wasteful.append(place)
        else:
            yield place
    yield from wasteful


def _wastes_gpu(job: Job, type_: NodeType) -> bool:
    return type_.gpus > 0 and not job.demand.get("GPU")
