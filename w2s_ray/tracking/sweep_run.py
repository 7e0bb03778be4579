"""The run of a sweep as a whole: parent of all others; its note is the answer so far, and the spec.

Results enter the study in the order of the trials, so the best so far is a curve over trial numbers that only grows.
"""

import re
from collections import Counter
from collections.abc import Iterator

from w2s_ray.search.record import COMPLETE, INTERRUPTED, RUNNING, SweepRecord, TrialRecord
from w2s_ray.search.resuming import resume_command
from w2s_ray.spec import Sweep
from w2s_ray.tracking import planned
from w2s_ray.tracking.planned import Dataset, PlannedRun, Point, cut, milliseconds, text_of
from w2s_ray.tracking.trial_run import OPEN, accuracies_on_test, confirmed_on_test
from w2s_ray.tracking.view import told_apart

_LONGEST_ANSWER = 4000  # characters, half of what the note may have
_EACH_BELOW, _STRIDE = 100, 50  # trial numbers; beyond, curves that hardly ever change are drawn by fewer points


def sweep_key(study: str) -> str:
    """Returns the key of a study's parent run."""
    return f"sweep {study}"


def sweep_run(
    record: SweepRecord, study: str, places: str = "", answer: str = "", inputs: tuple[Dataset, ...] = ()
) -> PlannedRun:
    """Returns the parent run. The record holds a trial; `places` are links and `answer` the report's, in Markdown."""
    sweep, finished = record.sweep, _finished(record)
    is_done = is_complete(record)
    is_stopped = not record.live  # trials that nobody asked for yet are none of the record
    ends = [trial.finished for trial in finished if trial.finished]
    return PlannedRun(
        key=sweep_key(study),
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
            "state": "complete" if is_done else INTERRUPTED if is_stopped else RUNNING,
            "seed": ",".join(map(str, sweep.seeds)),
            "mlflow.note.content": note(record, places, answer),
        },
        inputs=inputs,
    )


def is_complete(record: SweepRecord) -> bool:
    """Whether all trials that the spec asks for have ended, and no other is open."""
    return record.ended >= record.sweep.search.trials and record.ended == len(record.trials)


def _finished(record: SweepRecord) -> list[TrialRecord]:
    return [trial for trial in record.trials if trial.state not in OPEN]


def note(record: SweepRecord, places: str = "", answer: str = "") -> str:
    """Returns the Markdown shown on the sweep's page: how far it is, the answer, commands, the best trials.

    The page shows the first lines and the rest when asked.
    """
    rows = [_row(record, pairing.name) for pairing in record.sweep.pairings]
    table = [
        f"The best trial of each pairing by validation accuracy ({record.sweep.objective.labels} labels); "
        "the other accuracies are on the test split, means over the seeds.",
        "",
        "| pairing | trial | method | validation | weak | student | ceiling | PGR |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        *_confirmed(record),
    ]
    progress = f"{_counts(record)} of {record.sweep.search.trials} trials."
    parts = (f"{progress} {places}".strip(), cut(answer, _LONGEST_ANSWER), _plan(record.sweep), _commands(record))
    return cut("\n\n".join([*filter(None, parts), "\n".join(table)]))


def _plan(sweep: Sweep) -> str:
    searched = ", ".join(name for name, dimension in sweep.space.items() if dimension.varies) or "nothing"
    return (
        f"Plan: {len(sweep.pairings)} pairings, methods {', '.join(sweep.methods)}, {len(sweep.seeds)} seeds each; "
        f"searched: {searched}; sampler {sweep.search.sampler}."
    )


def _commands(record: SweepRecord) -> str:
    """How to carry on with the sweep, and where report and spec are."""
    name, store = record.sweep.name, record.store.uri
    lines = (
        f"Run, resume or extend it: `{resume_command(name, record.store.uri)}`",
        f"Report: `w2s report {name} --store {store} --open`, in `{record.store.sweep_folder(name) / 'report'}`.",
        f"{told_apart(record)} The spec is the artifact `sweep.yaml`.",
    )
    return "\n".join(f"- {line}" for line in lines)


def _row(record: SweepRecord, pairing: str) -> str:
    best = record.best(pairing)
    if best is None:
        return f"| {pairing} | | | | | | | |"
    tests = accuracies_on_test(best, record.store)
    keys = ("weak_accuracy", "student_accuracy", "ceiling_accuracy", "pgr")
    cells = [f"{tests[key]:.4f}" if key in tests else "" for key in keys]
    validation = f"{best.values[record.sweep.objective.labels]:.4f}"
    return "| " + " | ".join([pairing, str(best.number), best.method, validation, *cells]) + " |"


def _confirmed(record: SweepRecord) -> Iterator[str]:
    """Yields what fresh seeds gave for the best trials and the naive defaults; nothing if none was asked for."""
    for trial in record.to_confirm():
        made, tests = record.confirmation(trial), confirmed_on_test(trial, record.store)
        if made is None or (not tests and not made.error):
            continue
        numbers = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in tests.items())
        seeds = ", ".join(map(str, made.seeds))
        yield ""
        yield f"Trial {trial.number} ({trial.pairing}) again with fresh seeds {seeds}: {numbers or made.error}."


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
    """Yields, at each ended trial, the best of its pairing so far and what that recovers of the gap on the test split.

    Up to the first trial that is open, so that points never change. The PGR is that of the trial chosen on validation,
    not the best PGR: it may fall. Later trials are drawn at fixed numbers, and on both sides of a change.
    """
    best: dict[str, tuple[float, float | None]] = {}
    passed: dict[str, TrialRecord] = {}  # the trial before that drew no points
    objective = record.sweep.objective.labels
    for trial in record.trials:
        if trial.state in OPEN:
            return
        value = trial.values.get(objective) if trial.state == COMPLETE else None
        pairing, before = trial.pairing, passed.pop(trial.pairing, None)
        if value is not None and value > best.get(pairing, (float("-inf"), None))[0]:
            if before is not None:
                yield from _best_at(before, *best[pairing])
            best[pairing] = (value, accuracies_on_test(trial, record.store).get("pgr"))
        elif trial.number >= _EACH_BELOW and trial.number // len(record.sweep.pairings) % _STRIDE:
            passed[pairing] = trial
            continue
        if pairing in best:
            yield from _best_at(trial, *best[pairing])


def _best_at(trial: TrialRecord, validation: float, pgr: float | None) -> Iterator[Point]:
    end = milliseconds(trial.finished)
    yield Point(_metric("best_validation", trial), validation, trial.number, end)
    if pgr is not None:
        yield Point(_metric("pgr_of_best", trial), pgr, trial.number, end)


def _metric(group: str, trial: TrialRecord) -> str:
    # MLflow refuses an arrow in a metric's name; the slash makes one group of the pairings' charts.
    pairing = f"{trial.weak} to {trial.strong}"
    return f"{group}/" + re.sub(r"[^\w.\- ]", "_", pairing)
