"""The run of a trained stage: its identity as params, its learning curve and final numbers as metrics.

A stage that several trials share is one run; the trials point to it by its address. Students and intermediates are
named after the first trial that they were made for, or forty of them would be called `student minilm-5 seed 0`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from w2s_ray.stages.store import StageRecord, StoredStage
from w2s_ray.tracking.planned import FINISHED, PlannedRun, Point, is_number, milliseconds, text_of

_MOST_POINTS = 400  # of one curve; MLflow's pages get slow with more, and the whole curve is in the store


# What follows from the settings alone. The slash makes a section of charts, and the UI puts those first, by name.
_SCHEDULE = ("alpha", "epoch", "lr")
# On the student's half of the texts; a trial's `student_accuracy` is its student's, on the test split.
_FINAL_NAMES = {"student_accuracy": "student_half_accuracy"}


def stage_run(stored: StoredStage, trial: int | None = None) -> PlannedRun:
    """Returns the run of a finished Finetune stage; `trial` is the first it was made for, None for a baseline."""
    record = stored.record
    end = milliseconds(record.finished_at)
    start = milliseconds(record.finished_at - record.seconds.get("stage", 0.0))
    return PlannedRun(
        key=f"stage {record.address}",
        name=_name(record, trial),
        status=FINISHED,
        start=start,
        end=end,
        params=flat(record.identity["settings"]),
        points=tuple(_points(stored.curve(), record.summary, start, end)),
        tags=_tags(record, trial),
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


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((key, float(value)) for key, value in values.items() if key != "step" and is_number(value))


def thinned(curve: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns at most `_MOST_POINTS` rows, evenly chosen, the first and the last among them."""
    if len(curve) <= _MOST_POINTS:
        return list(curve)
    chosen = {number * (len(curve) - 1) // (_MOST_POINTS - 1) for number in range(_MOST_POINTS)}
    return [curve[index] for index in sorted(chosen)]


def _tags(record: StageRecord, trial: int | None) -> dict[str, str]:
    seconds = {f"seconds.{name}": f"{value:.3f}" for name, value in record.seconds.items()}
    inputs = {f"w2s.input.{role}": str(address) for role, address in record.identity["inputs"].items()}
    owner = {} if trial is None else {"trial": str(trial)}
    made_by = {"made by": record.made_by or "unknown"}
    return {"kind": "stage", "w2s.address": record.address, **owner, **made_by, **seconds, **inputs}
