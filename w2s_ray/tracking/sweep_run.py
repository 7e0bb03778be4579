"""The run of a sweep as a whole: parent of all others; its note is the answer so far, and the spec.

Results enter the study in the order of the trials, so the best so far is a curve over trial numbers that only grows.
"""

import re
from collections import Counter
from collections.abc import Iterator

from w2s_ray.search.record import COMPLETE, INTERRUPTED, SweepRecord, TrialRecord
from w2s_ray.spec import Sweep, yaml
from w2s_ray.tracking import planned
from w2s_ray.tracking.planned import PlannedRun, Point, cut, milliseconds, text_of
from w2s_ray.tracking.trial_run import OPEN, accuracies_on_test


def sweep_run(record: SweepRecord, study: str) -> PlannedRun:
    """Returns the parent run. The record holds a trial."""
    sweep, finished = record.sweep, [trial for trial in record.trials if trial.state not in OPEN]
    is_done = len(finished) >= sweep.search.trials and len(finished) == len(record.trials)
    is_stopped = any(trial.state == INTERRUPTED for trial in record.trials)
    ends = [trial.finished for trial in finished if trial.finished]
    return PlannedRun(
        key=f"sweep {study}",
        name=sweep.name,
        status=planned.FINISHED if is_done else planned.KILLED if is_stopped else planned.RUNNING,
        start=milliseconds(min((trial.started for trial in record.trials if trial.started), default=None)),
        end=milliseconds(max(ends, default=None)) if is_done or is_stopped else None,
        params=_params(sweep),
        points=tuple(_best_so_far(record)),
        tags={
            "kind": "sweep",
            "trials": _counts(record),
            "w2s.sweep": sweep.name,
            "w2s.study": study,
            "mlflow.note.content": note(record),
        },
    )


def note(record: SweepRecord) -> str:
    """Returns the Markdown shown on the sweep's page: the best trial of each pairing, then the spec."""
    rows = [_row(record, pairing.name) for pairing in record.sweep.pairings]
    table = [
        f"The best trial of each pairing by validation accuracy ({record.sweep.objective.labels} labels); "
        "the other accuracies are on the test split, means over the seeds.",
        "",
        "| pairing | trial | method | validation | weak | student | ceiling | PGR |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    head = f"{_counts(record)} of {record.sweep.search.trials} trials.\n\n" + "\n".join(table)
    spec = cut(yaml.dump(record.sweep), 7900 - len(head))
    return cut(f"{head}\n\n```yaml\n{spec}\n```\n")


def best_trial(record: SweepRecord, pairing: str) -> TrialRecord | None:
    """Returns the complete trial with the best objective; of equals the first."""
    objective = record.sweep.objective.labels
    trials = [trial for trial in record.of(pairing, state=COMPLETE) if objective in trial.values]
    return max(trials, key=lambda trial: trial.values[objective], default=None)


def _row(record: SweepRecord, pairing: str) -> str:
    best = best_trial(record, pairing)
    if best is None:
        return f"| {pairing} | | | | | | | |"
    tests = accuracies_on_test(best, record.store)
    keys = ("weak_accuracy", "student_accuracy", "ceiling_accuracy", "pgr")
    cells = [f"{tests[key]:.4f}" if key in tests else "" for key in keys]
    validation = f"{best.values[record.sweep.objective.labels]:.4f}"
    return "| " + " | ".join([pairing, str(best.number), best.method, validation, *cells]) + " |"


def _counts(record: SweepRecord) -> str:
    counts = Counter(trial.state for trial in record.trials)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _params(sweep: Sweep) -> dict[str, str]:
    splits = {f"examples.{name}": text_of(value) for name, value in sweep.task.splits.model_dump().items()}
    return {
        "task": sweep.task.source,
        "objective": sweep.objective.labels,
        "methods": ", ".join(sweep.methods),
        "pairings": ", ".join(pairing.name for pairing in sweep.pairings),
        "seeds": ",".join(map(str, sweep.seeds)),
        **splits,
    }


def _best_so_far(record: SweepRecord) -> Iterator[Point]:
    """Yields a point per trial that is its pairing's best, up to the first that is open: those never change."""
    best: dict[str, float] = {}
    objective = record.sweep.objective.labels
    for trial in record.trials:
        if trial.state in OPEN:
            return
        value = trial.values.get(objective) if trial.state == COMPLETE else None
        if value is not None and value > best.get(trial.pairing, float("-inf")):
            best[trial.pairing] = value
            yield Point(_metric(trial), value, trial.number, milliseconds(trial.finished))


def _metric(trial: TrialRecord) -> str:
    # MLflow refuses an arrow in a metric's name; the slash makes one group of the pairings' charts.
    pairing = f"{trial.weak} to {trial.strong}"
    return "best_validation/" + re.sub(r"[^\w.\- ]", "_", pairing)
