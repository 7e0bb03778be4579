"""What a sweep cost: models trained, models found again, and the time of its stages.

The time of a stage is the wall-clock of the task that made it, kept in its record; the sum over stages is more than a
sweep's own wall-clock where stages ran side by side.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from w2s_ray.search.record import SweepRecord
from w2s_ray.search.status import status_of
from w2s_ray.stages.record import StageRecord


@dataclass(frozen=True)
class Cost:
    """Counts of models, and seconds of stages.

    Attributes:
        trained: distinct models that this sweep trained.
        reused: how often a trial found a model trained for another trial, seed or sweep.
        seconds: of all stages that this sweep made, data and features included.
        seconds_saved: what the reused models would have taken if each had been trained again.
        wall_seconds: from the start of the first trial to the end of the last, breaks included; None without trials.
    """

    trained: int
    reused: int
    seconds: float
    seconds_saved: float
    wall_seconds: float | None


def cost_of(record: SweepRecord) -> Cost:
    """Adds up what the store says of the stages of a sweep."""
    status = status_of(record)
    wanted = record.wanted()
    found = _with_inputs(record, wanted)
    mine = {address for address, stage in found.items() if stage.made_by == record.sweep.name}
    saved = sum(_seconds(found[a]) * (count - (a in mine)) for a, count in wanted.items() if a in found)
    times = [time for trial in record.trials for time in (trial.started, trial.finished) if time is not None]
    return Cost(
        trained=status.trained,
        reused=status.reused,
        seconds=sum(_seconds(found[address]) for address in mine),
        seconds_saved=saved,
        wall_seconds=max(times) - min(times) if times else None,
    )


def _with_inputs(record: SweepRecord, addresses: Iterable[str]) -> dict[str, StageRecord]:
    """Returns the records of the stored stages among `addresses` and of all that they read."""
    found: dict[str, StageRecord] = {}
    open_ends = list(addresses)
    while open_ends:
        stored = record.store.read_all(address for address in open_ends if address not in found)
        new = {address: one.record for address, one in stored.items() if one is not None}
        found.update(new)
        open_ends = [address for one in new.values() for address in one.inputs]
    return found


def _seconds(stage: StageRecord) -> float:
    return float(stage.seconds.get("stage", 0.0))
