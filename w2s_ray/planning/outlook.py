"""What a schedule says in hours and money, on the cluster as given and on half and twice its nodes."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rich.table import Table

from w2s_ray.planning.jobs import CriticalPath, critical_path
from w2s_ray.planning.simulate import Schedule, UnendingError, misfit, simulate
from w2s_ray.planning.workload import Planned, plan_work
from w2s_ray.spec import Sweep
from w2s_ray.spec.cluster import Cluster
from w2s_ray.stages.store import Store
from w2s_ray.units import in_time

SIZES = {"half the nodes": 0.5, "as given": 1.0, "twice the nodes": 2.0}
UNENDING = "does not end"  # what a table says of a size that some stage does not fit, or is never done on
_HOUR = 3600.0
_SHOWN = 3  # of the longest stages on the critical path


@dataclass(frozen=True)
class Outlook:
    """One schedule in numbers.

    Attributes:
        nodes: the most nodes that each type may have.
        seconds: from the driver's start until the last trial has ended.
        cpu_hours, gpu_hours: that stages use, what is lost with a node included.
        node_hours: of each type, from asking for a node until it is let go, idle time after the end included.
        cost: of the node-hours.
        resource: CPU, or GPU if any stage asks for one.
        utilization: share of that resource's time on nodes that were up in which stages used it.
        lost: how often a running stage lost a node.
    """

    nodes: dict[str, int]
    seconds: float
    cpu_hours: float
    gpu_hours: float
    node_hours: dict[str, float]
    cost: float
    resource: str
    utilization: float
    lost: int


@dataclass(frozen=True)
class ClusterPlan:
    """What is left of a sweep on a cluster of three sizes, the keys of `SIZES`.

    Attributes:
        outlooks: the sizes on which it ends.
        problems: the other sizes, and why it does not end there.
        critical: what no number of nodes would shorten.
        jobs, measured: how many there are, and how many of them are timed by stages in the store.
        currency: of the costs.
    """

    outlooks: dict[str, Outlook]
    problems: dict[str, str]
    critical: CriticalPath
    jobs: int
    measured: int
    currency: str

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of the key `cluster` of `w2s plan --cluster --json`."""
        chain = [{"stage": job.label, "seconds": round(job.fastest, 3)} for job in self.critical.jobs]
        return {
            "currency": self.currency,
            "jobs": {"measured": self.measured, "modelled": self.jobs - self.measured},
            "critical_path": {"seconds": round(self.critical.seconds, 3), "stages": chain},
            **{size.replace(" ", "_"): self._json_of(size) for size in SIZES},
        }

    def _json_of(self, size: str) -> dict[str, object]:
        return {"problem": self.problems[size]} if size in self.problems else _json_of(self.outlooks[size])

    def to_table(self) -> Table:
        """Returns the three sizes side by side."""
        table = Table("", *SIZES, box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"

        def row(head: str, cell: Callable[[Outlook], str], otherwise: str = "") -> None:
            table.add_row(head, *(cell(self.outlooks[one]) if one in self.outlooks else otherwise for one in SIZES))

        several = list(self.outlooks.values())
        row("wall-clock", lambda one: in_time(one.seconds), UNENDING)
        row(f"cost, {self.currency}", lambda one: f"{one.cost:.2f}")
        if any(one.gpu_hours for one in several):
            row("GPU-hours of stages", lambda one: f"{one.gpu_hours:.2f}")
        row("CPU-hours of stages", lambda one: f"{one.cpu_hours:.2f}")
        for kind in several[0].nodes if several else ():
            row(f"node-hours of {kind}", partial(_hours_cell, kind))
        row(f"{several[0].resource if several else 'CPU'} utilization", lambda one: f"{one.utilization:.0%}")
        row("stages that lose a node", lambda one: str(one.lost))
        return table

    def problems_text(self) -> str:
        """Returns a line for each size on which the sweep does not end; empty if there is none."""
        return "\n".join(f"{size}: {problem}" for size, problem in self.problems.items())

    def path_text(self) -> str:
        """Returns what no number of nodes would shorten, and how the stages' times are known."""
        longest = sorted({job.label: job.fastest for job in self.critical.jobs}.items(), key=lambda one: -one[1])
        named = ", ".join(f"{label} {in_time(seconds)}" for label, seconds in longest[:_SHOWN])
        return (
            f"critical path  {in_time(self.critical.seconds)} over {len(self.critical.jobs)} stages"
            f"{f'; the longest: {named}' if named else ''}\n"
            f"stage times    {self.measured} of {self.jobs} from the like in the store, the rest by FLOPs"
        )


def plan_on(sweep: Sweep, store: Store, cluster: Cluster) -> ClusterPlan:
    """Schedules what is left of a sweep on a cluster, on half and on twice its nodes. Starts and writes nothing.

    Raises:
        ValueError: a stage asks for more than the cluster as given can ever have, or nothing tells how long it takes.
    """
    planned = plan_work(sweep, store, cluster)
    problem = misfit(planned.work, cluster)
    if problem:
        raise ValueError(f"{problem}; change resources in the spec, or the cluster's nodes")
    resources = (sweep.resources.default, *sweep.resources.models.values())
    # How wide an elastic group is depends on how many nodes there are, and so does whether any group finds GPUs.
    differs = any(one.is_elastic or (one.workers > 1 and one.gpus is None) for one in resources)
    outlooks: dict[str, Outlook] = {}
    problems: dict[str, str] = {}
    for size, factor in SIZES.items():
        sized = cluster.times(factor) if factor != 1 else cluster
        try:
            outlooks[size] = _outlook(plan_work(sweep, store, sized) if differs else planned, sized)
        except UnendingError as error:
            problems[size] = str(error)
    return ClusterPlan(
        outlooks=outlooks,
        problems=problems,
        critical=critical_path(planned.work),
        jobs=len(planned.work.jobs),
        measured=planned.measured,
        currency=cluster.currency,
    )


def _outlook(planned: Planned, cluster: Cluster) -> Outlook:
    schedule = simulate(planned.work, cluster)
    used: Counter[str] = sum((node.busy for node in schedule.nodes), Counter())
    hours = _node_hours(schedule, cluster)
    resource = "GPU" if any(job.demand.get("GPU") for job in planned.work.jobs.values()) else "CPU"
    held = sum(
        node.type.capacity[resource] * max(0.0, min(schedule.seconds, _end(node.gone, schedule)) - node.up)
        for node in schedule.nodes
    )
    return Outlook(
        nodes={kind: node.max for kind, node in cluster.nodes.items()},
        seconds=schedule.seconds,
        cpu_hours=used["CPU"] / _HOUR,
        gpu_hours=used["GPU"] / _HOUR,
        node_hours=hours,
        cost=sum(cluster.nodes[kind].price * of_kind for kind, of_kind in hours.items()),
        resource=resource,
        utilization=used[resource] / held if held else 0.0,
        lost=sum(one.lost for one in schedule.tries),
    )


def _node_hours(schedule: Schedule, cluster: Cluster) -> dict[str, float]:
    """Adds up the hours that are paid for; nodes of `min` until the end, others until they are let go after it."""
    hours: dict[str, float] = {}
    kept: Counter[str] = Counter()
    for node in schedule.nodes:
        end = _end(node.gone, schedule)
        if node.gone is None:
            kept[node.kind] += 1
            end += 60 * cluster.idle_minutes if kept[node.kind] > node.type.min else 0.0
        hours[node.kind] = hours.get(node.kind, 0.0) + (end - node.asked) / _HOUR
    return hours


def _end(gone: float | None, schedule: Schedule) -> float:
    return schedule.seconds if gone is None else gone


def _hours_cell(kind: str, one: Outlook) -> str:
    return f"{one.node_hours.get(kind, 0.0):.2f} (at most {one.nodes[kind]})"


def _json_of(one: Outlook) -> dict[str, object]:
    return {
        "nodes": one.nodes,
        "wall_seconds": round(one.seconds, 3),
        "cpu_hours": round(one.cpu_hours, 4),
        "gpu_hours": round(one.gpu_hours, 4),
        "node_hours": {kind: round(hours, 4) for kind, hours in one.node_hours.items()},
        "cost": round(one.cost, 4),
        "utilization": {one.resource: round(one.utilization, 4)},
        "stages_that_lose_a_node": one.lost,
    }
