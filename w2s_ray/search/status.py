"""How far a sweep is, from the study and the store."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from w2s_ray.files import from_json
from w2s_ray.search.budget import Allowance, account
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.lease import Holder, holder
from w2s_ray.search.record import COMPLETE, FAILED, PRUNED, RUNNING, SweepRecord, TrialRecord
from w2s_ray.search.resuming import resume_command
from w2s_ray.stages.spent import Meter
from w2s_ray.stages.sweep_files import FAILURES

OUT_OF_BUDGET = "out of budget"
_ENDS = {
    "died": "stages whose process died",
    "lost": "stages whose node was lost",
    "moved": "trainings that left a node with notice, or got more workers",
    "failed": "stages that failed and were tried again",
}


@dataclass(frozen=True)
class Status:
    """Counts of trials by state, and of trained models.

    Attributes:
        store: where the sweep lives.
        state: `running` while a driver holds the sweep, else `finished`, `out of budget` or `interrupted`.
        trained: distinct models this sweep trained.
        reused: how often a trial found a model trained, or being trained, for another trial, seed or sweep.
        failed: the failed trials.
        retried: tries of stages that ended badly and were made again, by what ended them.
        to_confirm: the trials that are confirmed, or are to be once the budget is spent, with how far that is.
        fresh_seeds: those they are confirmed with; none if the spec asks for no confirmation.
        budget: how much of the sweep's budget is used; empty without one.
    """

    sweep: str
    store: str
    state: str
    trials: dict[str, int]
    trained: int
    reused: int
    held_by: Holder | None
    failed: tuple[TrialRecord, ...]
    retried: dict[str, int]
    to_confirm: tuple[tuple[TrialRecord, Confirmation | None], ...] = ()
    fresh_seeds: tuple[int, ...] = ()
    budget: str = ""

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of `w2s status --json`."""
        return {
            "sweep": self.sweep,
            "state": self.state,
            "trials": self.trials,
            "stages": {"trained": self.trained, "reused": self.reused},
            **({"confirm": _confirm_json(self)} if self.fresh_seeds else {}),
        }

    def to_text(self, address: str | None = None) -> str:
        """Returns the status for people; `address` is that of the cluster that they look at from elsewhere."""
        lines = [
            f"sweep   {self.sweep}: {self.state}{f', by {self.held_by}' if self.held_by else ''}",
            "trials  " + ", ".join(f"{count} {state}" for state, count in self.trials.items()),
            f"models  {self.trained} trained, {self.reused} times reused",
        ]
        if self.fresh_seeds:
            lines += _confirm_lines(self)
        if self.budget:
            lines.append(f"budget  {self.budget}")
        if self.state == "interrupted":
            lines.append(f"resume  {resume_command(self.sweep, self.store, address)}")
        if self.state == OUT_OF_BUDGET:
            lines.append("resume  w2s run with a larger search.budget in the spec")
        if self.retried:
            lines.append("again   " + ", ".join(f"{count} {_ENDS[end]}" for end, count in self.retried.items()))
        return "\n".join([*lines, *_failures(self.failed)])

    def failures_text(self) -> str:
        """Returns why trials failed; empty if none did."""
        return "\n".join(_failures(self.failed))


def status_of(record: SweepRecord) -> Status:
    """Counts what `record` holds."""
    name, budget = record.sweep.name, record.sweep.search.trials
    states = Counter(trial.state for trial in record.trials)
    held_by = holder(record.store, name)
    trained, reused = _trained_and_reused(record)
    return Status(
        sweep=name,
        store=record.store.uri,
        state=state_of(record, held_by),
        trials={
            "complete": states[COMPLETE],
            "pruned": states[PRUNED],
            "failed": states[FAILED],
            "running": states[RUNNING] if held_by else 0,
            "waiting": max(0, budget - record.ended - (states[RUNNING] if held_by else 0)),
        },
        trained=trained,
        reused=reused,
        held_by=held_by,
        failed=tuple(trial for trial in record.trials if trial.error),
        to_confirm=tuple((trial, record.confirmation(trial)) for trial in record.to_confirm()),
        fresh_seeds=record.sweep.fresh_seeds,
        retried=Counter(str(line["verdict"]) for line in _tries(record) if line["again"]),
        budget=_budget(record),
    )


def state_of(record: SweepRecord, held_by: Holder | None) -> str:
    """Returns `running`, `finished`, `out of budget` or `interrupted`; a driver that was killed leaves open trials."""
    if held_by:
        return "running"
    if is_over(record):
        return "finished"
    budget = record.sweep.search.budget
    if budget is None or any(trial.state == RUNNING for trial in record.trials):
        return "interrupted"
    meter = Meter(record.store, record.sweep.name)  # reads the whole of spent.jsonl
    allowance = Allowance(budget, meter, _started(record) or time.time(), record.lasted)
    return "interrupted" if allowance.refusal() is None else OUT_OF_BUDGET


def is_over(record: SweepRecord) -> bool:
    """Whether the budget is spent and every confirmation has ended, as far as the study tells."""
    made = [record.confirmation(trial) for trial in record.to_confirm()]
    return record.ended >= record.sweep.search.trials and all(one and one.state in (COMPLETE, FAILED) for one in made)


def _confirm_json(status: Status) -> dict[str, object]:
    return {"seeds": list(status.fresh_seeds), "trials": {str(trial.number): end for trial, end, _ in _ends_of(status)}}


def _confirm_lines(status: Status) -> Iterator[str]:
    told = ", ".join(f"trial {trial.number} {end}" for trial, end, _ in _ends_of(status)) or "no trial is finished"
    yield f"confirm with fresh seeds {', '.join(map(str, status.fresh_seeds))}: {told}"
    for trial, _, error in _ends_of(status):
        if error:
            yield f"failed  confirmation of trial {trial.number}: {error}"


def _ends_of(status: Status) -> Iterator[tuple[TrialRecord, str, str | None]]:
    for trial, made in status.to_confirm:
        yield trial, made.state if made else "waiting", made.error if made else None


def _budget(record: SweepRecord) -> str:
    budget = record.sweep.search.budget
    if budget is None:
        return ""
    now = time.time()
    used = Meter(record.store, record.sweep.name).used(now)
    return account(budget, used, _started(record))


def _started(record: SweepRecord) -> float | None:
    return min((trial.started for trial in record.trials if trial.started is not None), default=None)


def _failures(trials: Iterable[TrialRecord]) -> Iterator[str]:
    """Yields each reason once, with the trials that failed by it and the traceback of the last."""
    by_reason: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        by_reason[trial.error or ""].append(trial)
    for reason, of_reason in by_reason.items():
        numbers = ", ".join(str(trial.number) for trial in of_reason)
        yield f"failed  trial{'s' if len(of_reason) > 1 else ''} {numbers}: {reason}"
        yield from (f"        {line}" for line in (of_reason[-1].traceback or "").splitlines())


def _tries(record: SweepRecord) -> Iterator[dict[str, Any]]:
    """Yields the lines of failures.jsonl; one that a kill tore says nothing."""
    path = record.store.sweep_folder(record.sweep.name) / FAILURES
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with suppress(ValueError):
            found = from_json(line)
            if isinstance(found, dict) and {"verdict", "again"} <= set(found):
                yield found


def _trained_and_reused(record: SweepRecord) -> tuple[int, int]:
    wanted = record.wanted()
    stored = record.store.read_all(wanted)
    trained = sum(one is not None and one.record.made_by == record.sweep.name for one in stored.values())
    return trained, sum(count for address, count in wanted.items() if stored[address] is not None) - trained
