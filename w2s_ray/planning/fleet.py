"""The nodes of a simulated cluster: what is free on them, how Ray places work, and what the autoscaler asks for.

As in Ray: work without GPUs avoids nodes with them, the oldest node that has room is taken, a group of workers gets all
its places or none. The autoscaler sees all waiting work at once, counts what the nodes that are starting will hold, and
asks for the rest in one step, the cheapest type that fits first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from w2s_ray.planning.jobs import Job, fits
from w2s_ray.spec.cluster import Cluster, NodeType


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

    def take(self, job: Job, sign: int = 1) -> None:
        """Gives a worker of `job` its place, or with sign -1 takes it back."""
        for name, amount in job.demand.items():
            self.free[name] = self.free.get(name, 0.0) - sign * amount


class Fleet:
    """All nodes that were ever there, in the order in which they were asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.nodes: list[Node] = []

    def launch(self, kind: str, now: float, *, at_once: bool = False) -> Node:
        """Asks for a node, which is up after the start-up time; those of `min` are there from the beginning."""
        up = now if at_once else now + self.cluster.startup_seconds
        type_ = self.cluster.nodes[kind]
        node = Node(len(self.nodes), kind, type_, now, up, dict(type_.capacity), idle_since=up)
        self.nodes.append(node)
        return node

    def alive(self) -> list[Node]:
        """The nodes that are up or starting."""
        return [node for node in self.nodes if node.gone is None]

    def place(self, job: Job, now: float) -> list[Node] | None:
        """Returns a node for each worker of `job` and takes the places; None where they are not free."""
        up = [node for node in self.alive() if node.is_up(now)]
        places = _places(job, [(node, node.free) for node in up])
        if places is None:
            return None
        for node in places:
            node.take(job)
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
        free = [(node.type, dict(node.free)) for node in self.alive()]
        free += [(self.cluster.nodes[kind], dict(self.cluster.nodes[kind].capacity)) for kind in short]
        asked, hopeless = list(short), set[tuple[object, ...]]()
        for job in waiting:
            shape = (*sorted(job.demand.items()), job.workers, *sorted(job.seconds))
            if shape in hopeless:
                continue
            more = self._with(job, free, counts)
            if more is None:
                hopeless.add(shape)
                continue
            asked += more
            counts.update(more)
        return asked

    def _with(self, job: Job, free: list[tuple[NodeType, dict[str, float]]], counts: Counter[str]) -> list[str] | None:
        """Reserves places for `job` in `free`, which grows by the nodes that it takes; returns their types."""
        more: list[str] = []
        trial = [(type_, dict(held)) for type_, held in free]
        left = job.workers
        while left:
            place = next((held for type_, held in _in_order(job, trial) if fits(job.demand, held)), None)
            if place is None:
                kind = self._cheapest(job, counts + Counter(more))
                if kind is None:
                    return None
                more.append(kind)
                trial.append((self.cluster.nodes[kind], dict(self.cluster.nodes[kind].capacity)))
                continue
            for name, amount in job.demand.items():
                place[name] = place.get(name, 0.0) - amount
            left -= 1
        free[:] = trial
        return more

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
    types = {kind: type_ for kind, type_ in cluster.nodes.items() if fits(job.demand, type_.capacity)}
    if not types:
        return f"asks for {_words(job.demand)}, which no node type has"
    places = sum(type_.max * _how_many(job.demand, type_.capacity) for type_ in types.values())
    if places < job.workers:
        return f"asks for {job.workers} workers of {_words(job.demand)}, and all nodes together hold {places}"
    return ""


def _how_many(demand: Mapping[str, float], capacity: Mapping[str, float]) -> int:
    return min((int(capacity[name] / amount + 1e-9) for name, amount in demand.items() if amount > 0), default=1)


def _words(demand: Mapping[str, float]) -> str:
    shown = {name: amount / 1e9 if name == "memory" else amount for name, amount in demand.items() if amount}
    return ", ".join(f"{amount:g} {'GB of ' if name == 'memory' else ''}{name}" for name, amount in shown.items())


def _places(job: Job, free: Sequence[tuple[Node, dict[str, float]]]) -> list[Node] | None:
    if job.workers == 1:
        one = next((node for node, held in _nodes_in_order(job, free) if fits(job.demand, held)), None)
        return None if one is None else [one]
    left = [(node, dict(held)) for node, held in free]
    places: list[Node] = []
    for node, held in _nodes_in_order(job, left):
        while len(places) < job.workers and fits(job.demand, held):
            places.append(node)
            for name, amount in job.demand.items():
                held[name] = held.get(name, 0.0) - amount
    return places if len(places) == job.workers else None


def _nodes_in_order(job: Job, free: Sequence[tuple[Node, dict[str, float]]]) -> list[tuple[Node, dict[str, float]]]:
    able = [one for one in free if one[0].kind in job.seconds]
    return sorted(able, key=lambda one: _wastes_gpu(job, one[0].type))


def _in_order(job: Job, free: Sequence[tuple[NodeType, dict[str, float]]]) -> list[tuple[NodeType, dict[str, float]]]:
    return sorted(free, key=lambda one: _wastes_gpu(job, one[0]))


def _wastes_gpu(job: Job, type_: NodeType) -> bool:
    return type_.gpus > 0 and not job.demand.get("GPU")
