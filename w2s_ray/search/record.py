"""A sweep as it stands: what report, status and tracking read. Made from the study and the store alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2s_ray.search.confirmation import Confirmation
from w2s_ray.spec.method import Value
from w2s_ray.spec.sweep import Sweep
from w2s_ray.stages.store import Store

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
ENDED = (COMPLETE, PRUNED, FAILED)
INTERRUPTED = "interrupted"  # open in the study, with no driver that works on it; the next one takes it up


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: counts over the whole sweep, from 0.
        params: the settings of the student as it was trained, method's defaults included; `method` and pairing not.
        default: whether these are the method's plain defaults, unsearched.
        values: objective by whose labels: `oracle` and `weak`, mean validation accuracy over the seeds; once complete.
        intermediate: optimizer step to validation accuracy of the first seed.
        stages: role to the address of its stage for each of the sweep's seeds, in their order. Roles are `weak`,
            `ceiling`, `student`; `intermediate 1`, `intermediate 2`, ... of a bootstrap chain; and `finetuned`, whose
            features a probe reads.
        started, finished: seconds since the epoch.
        error: why it failed.
        traceback: where, in the process that failed.
        confirmation: None unless it was, at some time, one of those that are confirmed.
    """

    number: int
    pairing: str
    weak: str
    strong: str
    method: str
    params: Mapping[str, Value]
    default: bool
    state: str
    values: Mapping[str, float]
    intermediate: Mapping[int, float]
    stages: Mapping[str, tuple[str, ...]]
    started: float | None
    finished: float | None
    error: str | None = None
    traceback: str | None = None
    confirmation: Confirmation | None = None

    @property
    def graphs(self) -> tuple[Mapping[str, tuple[str, ...]], ...]:
        """Its stages, and those of its confirmation where it has one."""
        return (self.stages, self.confirmation.stages) if self.confirmation else (self.stages,)


def contenders(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the trials of which one may be called best: a probe on ground truth is an analysis, and no student.

    Where there is nothing else these are returned.
    """
    return [trial for trial in trials if trial.params.get("probe_labels") != "truth"] or list(trials)


def choose(trials: Sequence[TrialRecord], labels: str) -> TrialRecord:
    """Returns the contender with the best validation accuracy by these labels; of equals, the first."""
    return min(contenders(trials), key=lambda trial: (-trial.values[labels], trial.number))


@dataclass(frozen=True)
class SweepRecord:
    """A sweep's spec, its trials in the order of their numbers, and the store that holds their stages.

    Attributes:
        study: fingerprint of the study that the trials are in; a changed spec of the same name has another.
        history: name of the sweep's history, which a sweep of the same name in another store does not share; empty for
            a study of a version before.
        live: whether a driver may be at work on it.
    """

    sweep: Sweep
    trials: tuple[TrialRecord, ...]
    store: Store
    study: str = ""
    history: str = ""
    live: bool = True

    @property
    def ended(self) -> int:
        """How many trials are over."""
        return sum(trial.state in ENDED for trial in self.trials)

    @property
    def lasted(self) -> list[float]:
        """Seconds from when each trial that is over was first asked for."""
        over = [trial for trial in self.trials if trial.state in ENDED]
        return [one.finished - one.started if one.finished and one.started else 0.0 for one in over]

    def of(self, pairing: str, method: str | None = None, state: str = COMPLETE) -> list[TrialRecord]:
        """Returns the trials of a pairing, and of one method unless None, that are in `state`."""
        return [t for t in self.trials if t.pairing == pairing and t.state == state and method in (None, t.method)]

    def best(self, pairing: str) -> TrialRecord | None:
        """Returns the finished trial that the sweep's objective chooses; None if there is none."""
        finished = self.of(pairing)
        return choose(finished, self.sweep.objective.labels) if finished else None

    def naive_default(self, pairing: str) -> TrialRecord | None:
        """Returns the naive method untuned, what everything is compared to; None if that trial did not finish."""
        return next((trial for trial in self.of(pairing, "naive") if trial.default), None)

    def to_confirm(self) -> tuple[TrialRecord, ...]:
        """Returns the best trial of each pairing so far and its naive default; none if the spec asks for none."""
        if not self.sweep.search.confirm:
            return ()
        names = [pairing.name for pairing in self.sweep.pairings]
        chosen = [trial for name in names for trial in (self.naive_default(name), self.best(name)) if trial]
        return tuple({trial.number: trial for trial in chosen}.values())

    def confirmation(self, trial: TrialRecord) -> Confirmation | None:
        """Returns the trial's confirmation with the seeds that the spec asks for now; None if there is none."""
        made = trial.confirmation
        return made if made is not None and made.seeds == self.sweep.fresh_seeds else None

    def wanted(self) -> Counter[str]:
        """Counts how often trials and confirmations ask for each stage, by address."""
        graphs = (graph for trial in self.trials for graph in trial.graphs)
        return Counter(address for graph in graphs for of_role in graph.values() for address in of_role)
