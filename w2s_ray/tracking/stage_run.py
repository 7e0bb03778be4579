"""The run of a trained stage: its identity as params, its learning curve and final numbers as metrics.

A stage that several trials share is one run; the trials point to it by its address. Students and intermediates are
named after the first trial that they were made for, or forty of them would be called `student minilm-5 seed 0`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from w2s_ray.search.record import COMPLETE, TrialRecord
from w2s_ray.stages.store import StageRecord, StoredStage
from w2s_ray.tracking.planned import FINISHED, PlannedRun, Point, is_number, milliseconds, text_of

_MOST_POINTS = 400  # of one curve; MLflow's pages get slow with more, and the whole curve is in the store


# What follows from the settings alone. The slash makes a section of charts, and the UI puts those first, by name.
_SCHEDULE = ("alpha", "epoch", "lr")
# On the student's half of the texts; a trial's `student_accuracy` is its student's, on the test split.
_FINAL_NAMES = {"student_accuracy": "student_half_accuracy"}


class Owner(NamedTuple):
    """Who a stage was made for: the first trial that has it, and what it is there."""

    role: str
    trial: TrialRecord

    @property
    def number(self) -> int | None:
        """Of the trial; None for a baseline, which belongs to all."""
        return None if self.role in ("weak", "ceiling") else self.trial.number


def stage_run(stored: StoredStage, owner: Owner) -> PlannedRun:
    """Returns the run of a finished stage that gives predictions."""
    record = stored.record
    end = milliseconds(record.finished_at)
    start = milliseconds(record.finished_at - record.seconds.get("stage", 0.0))
    return PlannedRun(
        key=f"stage {record.address}",
        name=_name(record, owner.number),
        status=FINISHED,
        start=start,
        end=end,
        params=flat(record.identity["settings"]),
        points=(*_points(stored.curve(), record.summary, start, end), *_usage(record)),
        tags=_tags(record, owner),
    )


def _name(record: StageRecord, trial: int | None) -> str:
    label = record.label or record.address[:12]
    return label if trial is None else f"{trial:04d} {label}"


def flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns nested settings as params named like a trial's (`lr`, `depth`); with its path where a name is taken."""
    params: dict[str, str] = {}
    for path, value in _leaves(settings, ()):
        params[".".join(path) if path[-1] in params else path[-1]] = text_of(value)
    return params


def _leaves(settings: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _points(curve: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], start: int, end: int) -> Iterator[Point]:
    """Yields the curve, spread over the stage's time, then the final numbers under plain names."""
    last = int(curve[-1]["step"]) if curve else 0
    for row in thinned(curve):
        step = int(row["step"])
        time = start + (end - start) * step // max(1, last)
        for key, value in _numbers(row):
            yield Point(f"schedule/{key}" if key in _SCHEDULE else f"curve/{key}", value, step, time)
    for key, value in _numbers(summary):
        if key not in _SCHEDULE:
            yield Point(_FINAL_NAMES.get(key, key), value, last, end)


def _usage(record: StageRecord) -> Iterator[Point]:
    """Yields what the process used, under the names of MLflow's system metrics; steps count the looks."""
    for step, look in enumerate(record.usage):
        for key, value in look.items():
            if key != "time" and is_number(value):
                yield Point(f"system/{key}", float(value), step, milliseconds(look["time"]))


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((key, float(value)) for key, value in values.items() if key != "step" and is_number(value))


def thinned(curve: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns at most `_MOST_POINTS` rows, evenly chosen, the first and the last among them."""
    if len(curve) <= _MOST_POINTS:
        return list(curve)
    chosen = {number * (len(curve) - 1) // (_MOST_POINTS - 1) for number in range(_MOST_POINTS)}
    return [curve[index] for index in sorted(chosen)]


def _tags(record: StageRecord, owner: Owner) -> dict[str, str]:
    seconds = {f"seconds.{name}": f"{value:.3f}" for name, value in record.seconds.items()}
    inputs = {f"w2s.input.{role}": str(address) for role, address in record.identity["inputs"].items()}
    made_by = {"made by": record.made_by or "unknown"}
    seed = record.identity["settings"].get("seed")
    named = {"kind": "stage", "state": COMPLETE, "role": owner.role, **({} if seed is None else {"seed": str(seed)})}
    return {**named, **_belonging(owner), "w2s.address": record.address, **made_by, **seconds, **inputs}


def _belonging(owner: Owner) -> dict[str, str]:
    """What the stage belongs to: a weak supervisor to its model, a ceiling to its, a student to its trial."""
    trial = owner.trial
    if owner.role == "weak":
        return {"weak": trial.weak}
    if owner.role == "ceiling":
        return {"strong": trial.strong}
    pairing = {"pairing": trial.pairing, "weak": trial.weak, "strong": trial.strong}
    return {"trial": str(trial.number), "method": trial.method, **pairing}
