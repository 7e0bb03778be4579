"""A workload on a cluster, event by event: what runs where and when, which nodes come and go, what is lost.

Jobs wait in the order in which they become ready; one that has no place holds up none behind it. A node that is taken
away loses its jobs back to their last checkpoint. The same seed gives the same schedule.
"""

import heapq
import itertools
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from w2s_ray.planning.fleet import Fleet, Node, capacity_problem, take
from w2s_ray.planning.jobs import Job, Workload, fits
from w2s_ray.spec.cluster import Cluster

MOST_LOST = 50  # tries of a job of which nothing was kept; 4 h without checkpoints on nodes that last 1 h need about 54


class UnendingError(ValueError):
    """A workload that does not end on a cluster: a job does not fit, or is lost again and again."""


@dataclass(frozen=True)
class Try:
    """One run of a job, on the nodes of these numbers; `lost` if one of them was taken away."""

    key: str
    nodes: tuple[int, ...]
    start: float
    end: float
    lost: bool


@dataclass(frozen=True)
class Schedule:
    """What was simulated: seconds until the last trial ended, every try by its end, and all nodes."""

    seconds: float
    tries: tuple[Try, ...]
    nodes: tuple[Node, ...]


@dataclass
class _Run:
    job: Job
    nodes: list[Node]
    start: float
    warm_up: float
    duration: float  # of the whole job on these nodes
    is_over: bool = False


@dataclass
class _Simulation:
    work: Workload
    cluster: Cluster
    now: float = 0.0
    events: list[tuple[float, int, str, object]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    left: dict[str, float] = field(default_factory=dict)  # job to the share of it that is still to do
    runs: dict[str, _Run] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)
    phase: dict[int, int] = field(default_factory=dict)  # open trial to its phase
    asked: int = 0
    told: int = 0
    next_ask: float = 0.0
    wasted: Counter[str] = field(default_factory=Counter)  # job to its tries of which nothing was kept
    unused: int = 0  # nodes that the first of those waiting could use, lost since anything ran

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.cluster)
        self.count = itertools.count()
        self.readers: dict[str, list[str]] = defaultdict(list)  # job to those that need it
        for job in self.work.jobs.values():
            for needed in job.needs:
                self.readers[needed].append(job.key)
        self.next_ask = self.cluster.driver_seconds
        self.at(self.next_ask, "driver")
        for kind, type_ in self.cluster.nodes.items():
            for _ in range(type_.min):
                self.launch(kind, at_once=True)

    def at(self, time: float, what: str, of: object = None) -> None:
        heapq.heappush(self.events, (time, next(self.count), what, of))

    def launch(self, kind: str, *, at_once: bool = False) -> None:
        node = self.fleet.launch(kind, self.now, at_once=at_once)
        self.at(node.up, "up", node)
        if node.type.preemptions_per_hour:
            draw = random.Random(f"{self.cluster.seed}/{node.number}")
            self.at(node.up + 3600 * draw.expovariate(node.type.preemptions_per_hour), "lost", node)

    def run(self) -> Schedule:
        while self.told < len(self.work.trials):
            self.ask()
            if self.told == len(self.work.trials):
                break
            self.place()
            for kind in self.fleet.missing([self.work.jobs[key] for key in self.waiting], self.now):
                self.launch(kind)
            self.now = self.events[0][0]
            while self.events and self.events[0][0] == self.now:
                _, _, what, of = heapq.heappop(self.events)
                self.happen(what, of)
        return Schedule(self.now, tuple(self.tries), tuple(self.fleet.nodes))

    def happen(self, what: str, of: object) -> None:
        if isinstance(of, _Run):
            if not of.is_over:
                self.end(of, lost=False)
        elif isinstance(of, Node) and of.gone is None:
            if what == "up":
                self.at(self.now + 60 * self.cluster.idle_minutes, "idle", of)
            elif what == "lost":
                self.fleet.let_go(of, self.now)
                self.lose(of)
            elif self.is_idle(of):
                self.fleet.let_go(of, self.now)

    def lose(self, node: Node) -> None:
        for key in sorted(node.running):
            self.end(self.runs[key], lost=True)
        first = self.work.jobs[self.waiting[0]] if self.waiting and not self.runs else None
        if first is not None and node.kind in first.seconds:
            self.unused += 1
            if self.unused > MOST_LOST * first.workers:
                raise _never_done(first)

    def is_idle(self, node: Node) -> bool:
        rested = self.now - node.idle_since >= 60 * self.cluster.idle_minutes - 1e-6
        # As Ray's autoscaler, which keeps what a waiting group will need until its other nodes are up.
        is_needed = any(fits(self.work.jobs[key].demand, node.free) for key in self.waiting)
        return not node.running and not is_needed and rested and self.fleet.is_above_min(node)

    def ask(self) -> None:
        """Goes on with open trials, and asks new ones as far as the order of results and the driver allow."""
        before = None
        while before != (self.asked, self.told, sum(self.phase.values())):
            before = (self.asked, self.told, sum(self.phase.values()))
            for number in list(self.phase):
                self.go_on(number)
            while self.told < self.asked and self.told not in self.phase:
                self.told += 1
            is_open = self.asked < len(self.work.trials) and self.asked - self.told < self.work.parallelism
            if is_open and self.now >= self.next_ask:
                self.phase[self.asked] = -1
                self.asked += 1
                self.next_ask = self.now + self.cluster.trial_seconds
                self.at(self.next_ask, "driver")

    def go_on(self, number: int) -> None:
        phases = self.work.trials[number].phases
        while self.phase[number] < 0 or all(key in self.done for key in phases[self.phase[number]]):
            self.phase[number] += 1
            if self.phase[number] == len(phases):
                del self.phase[number]
                return
            for key in phases[self.phase[number]]:
                self.want(key)

    def want(self, key: str) -> None:
        if key in self.wanted:
            return
        self.wanted.add(key)
        for needed in self.work.jobs[key].needs:
            self.want(needed)
        if self.is_ready(key):
            self.waiting.append(key)

    def is_ready(self, key: str) -> bool:
        return all(needed in self.done for needed in self.work.jobs[key].needs)

    def place(self) -> None:
        left, hopeless = list[str](), set[tuple[object, ...]]()
        for key in self.waiting:
            job = self.work.jobs[key]
            nodes = None if job.shape in hopeless else self.fleet.place(job, self.now)
            if nodes is None:
                hopeless.add(job.shape)
                left.append(key)
            else:
                self.start(job, nodes)
        self.waiting = left

    def start(self, job: Job, nodes: list[Node]) -> None:
        self.unused = 0
        # With a GPU it always is: such a process makes no second stage.
        is_new = bool(job.demand.get("GPU")) or any(len(node.running) > node.processes for node in nodes)
        for node in nodes:
            node.processes = max(node.processes, len(node.running))
        duration = max(job.seconds[node.kind] for node in nodes)
        run = _Run(job, nodes, self.now, self.cluster.process_seconds if is_new else 0.0, duration)
        self.runs[job.key] = run
        self.at(self.now + run.warm_up + duration * self.left.get(job.key, 1.0), "done", run)

    def end(self, run: _Run, *, lost: bool) -> None:
        run.is_over, job, taken = True, run.job, self.now - run.start
        for node in run.nodes:
            take(node, job, -1)
            node.running.discard(job.key)
            for name, amount in job.demand.items():
                node.busy[name] += amount * taken  # type: ignore[assignment]
            node.idle_since = self.now
        for node in {node.number: node for node in run.nodes}.values():
            self.at(self.now + 60 * self.cluster.idle_minutes, "idle", node)
        del self.runs[job.key]
        self.tries.append(Try(job.key, tuple(node.number for node in run.nodes), run.start, self.now, lost))
        if lost:
            kept = self.kept(run)
            self.left[job.key] = self.left.get(job.key, 1.0) - kept
            self.waiting.append(job.key)
            self.wasted[job.key] = 0 if kept else self.wasted[job.key] + 1
            if self.wasted[job.key] > MOST_LOST:
                raise _never_done(job)
            return
        self.done.add(job.key)
        self.waiting += [other for other in self.readers[job.key] if other in self.wanted and self.is_ready(other)]

    def kept(self, run: _Run) -> float:
        """The share of the whole job that the checkpoints of a lost run hold."""
        each, worked = run.job.checkpoint_seconds, max(0.0, self.now - run.start - run.warm_up)
        return 0.0 if each is None or not run.duration else worked // each * each / run.duration


def _never_done(job: Job) -> UnendingError:
    return UnendingError(
        f"{job.named} does not get done on nodes that are preempted this often: needs on-demand nodes or checkpoints"
    )


def misfit(work: Workload, cluster: Cluster) -> str:
    """Returns which job asks for more than the cluster can ever have, and for what; empty if none does."""
    problems = ((job, capacity_problem(job, cluster)) for job in work.jobs.values())
    return next((f"{job.named} {problem}" for job, problem in problems if problem), "")


def simulate(work: Workload, cluster: Cluster) -> Schedule:
    """Schedules a workload on a cluster.

    Raises:
        UnendingError: a job asks for more than the cluster can ever have, or is lost too often to be done.
    """
    problem = misfit(work, cluster)
    if problem:
        raise UnendingError(problem)
    return _Simulation(work, cluster).run()
