"""The nodes that Ray's autoscaler would ask for, by the order in which its second version takes node types.

Groups of workers come first, the largest before the others, each with all its places or none; then what runs alone,
what asks for most before the rest. Both fill the nodes that are there, then one new node after the other. Each time it
is the node on which what waits would use most, GPUs kept for work that needs them; between types that are filled alike
`priority` decides, and between equals they take turns. A test runs Ray's own scheduler beside this one.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from w2s_ray.planning.jobs import Job, fits
from w2s_ray.spec.cluster import NodeType
from w2s_ray.spec.resources import places_in


@dataclass(frozen=True)
class Room:
    """What is free on a node that is there or asked for, and the names of the resources that were promised of it."""

    kind: str
    type: NodeType
    free: Mapping[str, float]
    promised: frozenset[str] = frozenset()

    @classmethod
    def of_new(cls, kind: str, type_: NodeType) -> "Room":
        """A node with nothing on it."""
        return cls(kind, type_, type_.capacity)


_Bundle = tuple[Job, int]
"""How many places are wanted for workers like the job's."""


@dataclass(frozen=True)
class _Packed:
    """All nodes after some work was promised places, the types that were asked for, and what found no place."""

    rooms: list[Room]
    asked: list[str]
    spare: Counter[str]
    left: list[_Bundle]


def nodes_for(
    waiting: Iterable[Job], rooms: Sequence[Room], types: Mapping[str, NodeType], spare: Mapping[str, int]
) -> list[str]:
    """Returns the types of the nodes to ask for, so that all `waiting` jobs would have places, as far as allowed.

    Args:
        waiting: those for which there is no place now.
        rooms: the nodes that are there or starting.
        types: all node types by name, in the order of the cluster's file.
        spare: how many nodes of each type there may be besides `rooms`.
    """
    if not any(count > 0 for count in spare.values()):
        return []
    jobs = list(waiting)
    packed, asked, hopeless = _Packed(list(rooms), [], Counter(spare), []), list[str](), set[tuple[object, ...]]()
    for job in sorted((job for job in jobs if job.workers > 1), key=lambda one: -one.workers):
        if job.shape in hopeless:
            continue
        tried = _pack([(job, job.workers)], packed, types)
        if tried.left:
            hopeless.add(job.shape)
        else:
            packed, asked = tried, asked + tried.asked
    return asked + _pack(_alike([job for job in jobs if job.workers == 1]), packed, types).asked


def _alike(jobs: Iterable[Job]) -> list[_Bundle]:
    """Counts the jobs of each shape; what asks for most is first, in Ray's order."""

    def size(bundle: _Bundle) -> tuple[int, float, list[tuple[str, float]]]:
        demand = bundle[0].demand
        return len(demand), sum(demand.values()), sorted(demand.items())

    counts, examples = Counter[tuple[object, ...]](), dict[tuple[object, ...], Job]()
    for job in jobs:
        counts[job.shape] += 1
        examples.setdefault(job.shape, job)
    return sorted(((examples[shape], count) for shape, count in counts.items()), key=size, reverse=True)


def _pack(bundles: list[_Bundle], before: _Packed, types: Mapping[str, NodeType]) -> _Packed:
    there, done, asked, spare = list[Room](), list[Room](), list[str](), before.spare.copy()
    for room in before.rooms:
        (there if any(fits(job.demand, room.free) for job, _ in bundles) else done).append(room)
    while bundles and (best := _best(bundles, there)):
        place, room, bundles = best
        del there[place]
        done.append(room)
    pool = [Room.of_new(kind, type_) for kind, type_ in types.items() if spare[kind] > 0]
    while bundles and (best := _best(bundles, pool)):
        place, room, bundles = best
        del pool[place]
        done.append(room)
        asked.append(room.kind)
        spare[room.kind] -= 1
        if spare[room.kind] > 0:
            pool.append(Room.of_new(room.kind, room.type))  # at the end, so that equals take turns
    return _Packed([*done, *there], asked, spare, bundles)


def _best(bundles: list[_Bundle], rooms: Sequence[Room]) -> tuple[int, Room, list[_Bundle]] | None:
    """Returns the place of the room that is used best, what it then is, and what is left; None if none takes any."""
    best: tuple[int, Room, list[_Bundle]] | None = None
    seen = set[tuple[object, ...]]()
    for place, room in enumerate(rooms):
        state = (room.kind, *room.free.values(), room.promised)
        if state in seen:
            continue
        seen.add(state)
        filled, left = _filled(room, bundles)
        is_of_use = sum(count for _, count in left) < sum(count for _, count in bundles)
        if is_of_use and (best is None or _rank(filled) > _rank(best[1])):
            best = place, filled, left
    return best


def _filled(room: Room, bundles: Iterable[_Bundle]) -> tuple[Room, list[_Bundle]]:
    free, promised, left = dict(room.free), room.promised, list[_Bundle]()
    for job, count in bundles:
        placed = min(count, places_in(free, job.demand)) if room.kind in job.seconds else 0
        if placed:
            promised = promised.union(job.demand)
            for name, amount in job.demand.items():
                free[name] -= placed * amount
        if placed < count:
            left.append((job, count - placed))
    return replace(room, free=free, promised=promised), left


def _rank(room: Room) -> tuple[bool, int, float, float, int]:
    """Ray's score of a node: higher is better."""
    total = {name: amount for name, amount in room.type.capacity.items() if 0 < amount < math.inf}
    used = [amount * (1 - room.free[name] / amount) ** 3 for name, amount in total.items()]
    wastes_gpu = room.type.gpus > 0 and "GPU" not in room.promised
    return not wastes_gpu, len(room.promised), min(used), sum(used) / len(used), room.type.priority
