"""What is to be scheduled: jobs with what they need and take, and trials that ask for them.

A job is a stage, or the stages that are made in one go. A trial ends when all its jobs are done; with parallelism W,
trial n is asked when the trials 0 to n - W have all ended, as in `w2s_ray.search.study`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_CLOSE = 1e-9  # two float sums of the same fractions


@dataclass(frozen=True)
class Job:
    """A unit of work.

    Attributes:
        key: its name among the jobs.
        seconds: on a node of each type; a type that is missing cannot run it.
        demand: of each worker, by Ray's names of resources.
        workers: that must all have a place at the same time.
        needs: keys of the jobs that come first.
        checkpoint_seconds: between two points that a lost job goes on from; None: it starts anew.
        label: what people read.
    """

    key: str
    seconds: Mapping[str, float]
    demand: Mapping[str, float]
    needs: tuple[str, ...] = ()
    workers: int = 1
    checkpoint_seconds: float | None = None
    label: str = ""

    @property
    def named(self) -> str:
        """What people call it."""
        return self.label or self.key

    @property
    def fastest(self) -> float:
        """Seconds on the node type that takes the fewest."""
        return min(self.seconds.values())

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """What decides where it finds a place: where one job of a shape has none, no other of that shape has."""
        return (*sorted(self.demand.items()), self.workers, *sorted(self.seconds))


@dataclass(frozen=True)
class Trial:
    """The jobs that a trial asks for: all of a phase at once, the next phase when the last is done."""

    phases: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Workload:
    """All jobs by key, and the trials in the order of their numbers."""

    jobs: Mapping[str, Job]
    trials: tuple[Trial, ...]
    parallelism: int


@dataclass(frozen=True)
class CriticalPath:
    """The longest chain of work that no number of nodes would shorten: its seconds, and its jobs first to last."""

    seconds: float
    jobs: tuple[Job, ...] = field(default=())


def fits(demand: Mapping[str, float], free: Mapping[str, float]) -> bool:
    """Whether `free` has all of `demand`."""
    return all(free.get(name, 0.0) >= amount - _CLOSE for name, amount in demand.items())


def critical_path(work: Workload) -> CriticalPath:
    """Schedules the workload on nodes without number, start-up or loss: the fastest type for each job, no phases.

    Every schedule obeys the same order, so none is shorter.
    """
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    told: list[tuple[float, str | None]] = []  # when the trials up to each have all ended, and by which job
    for number, trial in enumerate(work.trials):
        since = told[number - work.parallelism] if number >= work.parallelism else (0.0, None)
        last = told[-1] if told else (0.0, None)
        for key in (key for phase in trial.phases for key in phase):
            _finish(key, work.jobs, since, ends, before)
            last = max(last, (ends[key], key), key=lambda one: one[0])
        told.append(last)
    seconds, end = told[-1] if told else (0.0, None)
    return CriticalPath(seconds, tuple(work.jobs[one] for one in _chain(end, before)))


def _finish(
    key: str,
    jobs: Mapping[str, Job],
    since: tuple[float, str | None],
    ends: dict[str, float],
    before: dict[str, str | None],
) -> None:
    if key in ends:
        return
    for needed in jobs[key].needs:
        _finish(needed, jobs, since, ends, before)
    held_by = [since, *((ends[needed], needed) for needed in jobs[key].needs)]
    start, before[key] = max(held_by, key=lambda one: one[0])
    ends[key] = start + jobs[key].fastest


def _chain(key: str | None, before: Mapping[str, str | None]) -> Sequence[str]:
    chain: list[str] = []
    while key is not None:
        chain.append(key)
        key = before[key]
    return chain[::-1]
