"""What the sweeps ask for, against what there is: disk in the store, and nodes that can hold their stages."""

from pathlib import Path

from w2s_ray.doctor.finding import Finding, advised, ok, problem, warning
from w2s_ray.doctor.request import Request
from w2s_ray.machine import resources_here
from w2s_ray.search.fitting import asked, with_usable_cpus
from w2s_ray.search.forecast import free_bytes
from w2s_ray.search.node_types import Kind, kinds_in
from w2s_ray.search.plan import Plan, make_plan
from w2s_ray.spec import Resources
from w2s_ray.spec.resources import amount_in_words, in_words, places_on
from w2s_ray.stages.open import open_store
from w2s_ray.units import in_bytes

_LITTLE = 10**9  # bytes


def disk_of_the_store(request: Request) -> list[Finding]:
    """Whether the store's disk has room for what the plan says is left to do."""
    if request.store is None:
        return []
    store = open_store(request.store)
    try:
        plans = [make_plan(sweep, store) for sweep in request.sweeps]
    except (ValueError, LookupError) as error:
        message = " ".join(str(error).splitlines())
        return [advised("plan", f"no plan can be made: {message}", "mend the spec; `w2s plan SPEC` says the same")]
    return [_room(plans, free_bytes(store.root), store.root)]


def resources(request: Request) -> list[Finding]:
    """Whether some node, or node type, can hold each stage of the sweeps."""
    there = request.kinds if request.is_cluster else (Kind("this machine", resources_here(), 1),)
    kinds = [*there, *(kinds_in(request.cluster_file) if request.cluster_file else ())]
    sweeps = request.sweeps if request.is_cluster else map(with_usable_cpus, request.sweeps)  # as the driver does here
    wanted = dict.fromkeys(item for sweep in sweeps for item in asked(sweep).items())
    if wanted and not kinds:
        return [problem("resources", "no node is known that could hold a stage", "mend what keeps the cluster from us")]
    add = "add a node type that can hold it, or name the file of those that may be added: --cluster FILE"
    other = add if request.is_cluster else "name a cluster in RAY_ADDRESS"
    return [_satisfied(f"resources.{place}", of_one, kinds, other) for place, of_one in wanted]


def _room(plans: list[Plan], free: int, root: Path) -> Finding:
    needed = [plan.bytes for plan in plans]
    known = sum(size or 0 for size in needed)
    says, mend = f"{in_bytes(free)} free for {root}", "free some space, for example with `w2s gc`, or move --store"
    if plans:
        unknown = ", and more for models of unknown size" if None in needed else ""
        says += f"; what the plan has left to do takes about {in_bytes(known)}{unknown}"
    if free <= known:
        return problem("disk", says, mend)
    is_known = bool(plans) and None not in needed
    return ok("disk", says) if is_known or free >= _LITTLE else warning("disk", says, mend)


def _satisfied(place: str, wanted: Resources, kinds: list[Kind], other: str) -> Finding:
    asks = wanted.demand
    says = f"{place}: {in_words(asks)}"
    if wanted.workers > 1:
        says += f" for each of {_width(wanted)} workers"
    places = places_on([(kind.resources, kind.count) for kind in kinds], asks)
    if places >= wanted.fewest:
        return ok("resources", says)
    largest = ", ".join(amount_in_words(name, _most(name, kinds)) for name in asks)
    there = f"room for {places} of them" if places else f"no node that can hold it; the largest have {largest}"
    return problem("resources", f"{says}; there is {there}", f"lower {place}, or {other}")


def _width(wanted: Resources) -> str:
    return f"{wanted.fewest} to {wanted.workers}" if wanted.is_elastic else f"{wanted.workers}"


def _most(name: str, kinds: list[Kind]) -> float:
    return max((kind.resources.get(name, 0) for kind in kinds), default=0)
