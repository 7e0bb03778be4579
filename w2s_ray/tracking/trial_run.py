"""The run of a trial: what was tried as params, validation and test results as metrics, its stages as tags."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from w2s_ray.search.record import COMPLETE, FAILED, INTERRUPTED, PRUNED, RUNNING, SweepRecord, TrialRecord
from w2s_ray.spec import Sweep
from w2s_ray.spec.method import methods_with
from w2s_ray.stages.store import Store
from w2s_ray.tracking import planned
from w2s_ray.tracking.planned import PlannedRun, Point, cut, is_number, milliseconds, text_of

_STATUS = {
    COMPLETE: planned.FINISHED,
    PRUNED: planned.FINISHED,  # a pruned trial did what it should; its state says the rest
    FAILED: planned.FAILED,
    RUNNING: planned.RUNNING,
    INTERRUPTED: planned.KILLED,  # until the next driver takes it up
}
OPEN = (RUNNING, INTERRUPTED)
_MOST_NAMED = 2
_MOST_OF_AN_ERROR = 4000  # characters


def trial_run(record: SweepRecord, trial: TrialRecord, study: str) -> PlannedRun:
    """Returns the run of a trial; `study` tells it from the trial of that number under another spec."""
    return PlannedRun(
        key=f"trial {study} {trial.number}",
        name=_name(record.sweep, trial),
        status=_STATUS[trial.state],
        start=milliseconds(trial.started),
        end=None if trial.state == RUNNING else milliseconds(trial.finished or trial.started),
        params=_params(record.sweep, trial),
        points=tuple(_points(trial, record.store)),
        tags=_tags(record.sweep, trial, study),
    )


def accuracies_on_test(trial: TrialRecord, store: Store) -> dict[str, float]:
    """Returns mean test accuracies over the seeds, and PGR where the ceiling is above the weak supervisor.

    Empty until every seed of weak supervisor, ceiling and student is in the store.
    """
    return _on_test(trial.stages, store)


def confirmed_on_test(trial: TrialRecord, store: Store) -> dict[str, float]:
    """Returns the same with the fresh seeds of the trial's confirmation; empty unless that is complete."""
    made = trial.confirmation
    return _on_test(made.stages, store) if made and made.state == COMPLETE else {}


def _on_test(stages: Mapping[str, Sequence[str]], store: Store) -> dict[str, float]:
    found: dict[str, float] = {}
    for role in ("weak", "ceiling", "student"):
        stored = [store.read(address) for address in stages.get(role, ())]
        values = [one.record.summary.get("test_accuracy") for one in stored if one is not None]
        numbers = [float(value) for value in values if value is not None and is_number(value)]
        if not numbers or len(numbers) < len(stored):
            return {}
        found[f"{role}_accuracy"] = fmean(numbers)
    gap = found["ceiling_accuracy"] - found["weak_accuracy"]
    if gap > 0:
        found["pgr"] = (found["student_accuracy"] - found["weak_accuracy"]) / gap
    return found


def _name(sweep: Sweep, trial: TrialRecord) -> str:
    """As in `0007 confidence minilm-1→minilm-6 alpha=0.62 lr=0.003`: the method's first own parameter leads."""
    varying = [name for name in trial.params if name in sweep.space and sweep.space[name].varies]
    own = [name for name in varying if not set(sweep.methods) <= set(methods_with(name))]
    telling = [*own[:1], *(name for name in varying if name not in own), *own[1:]][:_MOST_NAMED]
    values = (f"{name}={_short(trial.params[name])}" for name in telling)
    return " ".join([f"{trial.number:04d}", trial.method, trial.pairing, *values])


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _params(sweep: Sweep, trial: TrialRecord) -> dict[str, str]:
    named = {
        "method": trial.method,
        "pairing": trial.pairing,
        "weak": trial.weak,
        "strong": trial.strong,
        "objective": sweep.objective.labels,
        "seeds": ",".join(map(str, sweep.seeds)),
    }
    return {**{name: text_of(value) for name, value in trial.params.items()}, **named}


def _points(trial: TrialRecord, store: Store) -> list[Point]:
    start = milliseconds(trial.started)
    # Nobody noted when a value came; the steps keep them in order.
    points = [
        Point("validation_accuracy", float(value), step, start + step)
        for step, value in sorted(trial.intermediate.items())
        if is_number(value)
    ]
    if trial.state == COMPLETE:
        final: Mapping[str, float] = {
            **{f"validation_{labels}": value for labels, value in trial.values.items()},
            **accuracies_on_test(trial, store),
            **{f"confirmed_{key}": value for key, value in confirmed_on_test(trial, store).items()},
        }
        end = milliseconds(trial.finished)
        points += [Point(key, float(value), 0, end) for key, value in final.items() if is_number(value)]
    return points


def _tags(sweep: Sweep, trial: TrialRecord, study: str) -> dict[str, str]:
    stages = {f"w2s.stage.{role.replace(' ', '-')}": ",".join(of_role) for role, of_role in trial.stages.items()}
    tags = {
        "kind": "trial",
        "trial": str(trial.number),
        "state": trial.state,
        "default": text_of(trial.default),
        "pairing": trial.pairing,
        "method": trial.method,
        "weak": trial.weak,
        "strong": trial.strong,
        "seed": ",".join(map(str, sweep.seeds)),
        "w2s.sweep": sweep.name,
        "w2s.study": study,
        **stages,
        **_confirmation_tags(trial),
    }
    return tags if trial.error is None else {**tags, "error": cut(trial.error, _MOST_OF_AN_ERROR)}


def _confirmation_tags(trial: TrialRecord) -> dict[str, str]:
    made = trial.confirmation
    if made is None:
        return {}
    error = {"confirmation.error": cut(made.error, _MOST_OF_AN_ERROR)} if made.error else {}
    return {"confirmation": made.state, "confirmation.seeds": ",".join(map(str, made.seeds)), **error}
