"""A sweep as it stands: what report, status and tracking read. Made from the study and the store alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from w2s_ray.spec.method import Value
from w2s_ray.spec.sweep import Sweep
from w2s_ray.stages.store import Store

COMPLETE, PRUNED, FAILED, RUNNING = "complete", "pruned", "failed", "running"
ENDED = (COMPLETE, PRUNED, FAILED)
INTERRUPTED = "interrupted"  # open in the study, with no driver that works on it; the next one takes it up


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: counts over the whole sweep, from 0.
        params: the settings of the student as it was trained, method's defaults included; `method` and pairing not.
        default: whether these are the method's plain defaults, unsearched.
        values: objective by whose labels: `oracle` and `weak`, mean validation accuracy over the seeds; once complete.
        intermediate: optimizer step to validation accuracy of the first seed.
        stages: role to the address of its stage for each of the sweep's seeds, in their order. Roles are `weak`,
            `ceiling`, `student`, and `intermediate 1`, `intermediate 2`, ... of a bootstrap chain.
        started, finished: seconds since the epoch.
        error: why it failed.
        traceback: where, in the process that failed.
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


@dataclass(frozen=True)
class SweepRecord:
    """A sweep's spec, its trials in the order of their numbers, and the store that holds their stages.

    Attributes:
        study: fingerprint of the study that the trials are in; a changed spec of the same name has another.
    """

    sweep: Sweep
    trials: tuple[TrialRecord, ...]
    store: Store
    study: str = ""

    def of(self, pairing: str, method: str | None = None, state: str = COMPLETE) -> list[TrialRecord]:
        """Returns the trials of a pairing, and of one method unless None, that are in `state`."""
        return [t for t in self.trials if t.pairing == pairing and t.state == state and method in (None, t.method)]
