"""`w2s ls`: the sweeps of a store, each in one line: state, progress, the best trial so far, and when it last moved.

Read from the studies alone, without opening a stage. A sweep that cannot be read keeps its line and says why.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.search.lease import holder
from w2s_ray.search.record import COMPLETE, SweepRecord, choose
from w2s_ray.search.status import state_of
from w2s_ray.stages.store import Store
from w2s_ray.units import in_time


@dataclass(frozen=True)
class Row:
    """One sweep.

    Attributes:
        state: `running`, `finished`, `out of budget` or `interrupted`; `unreadable` if its folder cannot be read.
        ended: trials that are over, of `budget`.
        best: highest validation accuracy by the sweep's own objective, within [0, 1]; None before the first trial.
        best_trial: its number.
        age: seconds since a trial last began or ended.
        problem: why it is unreadable.
    """

    sweep: str
    state: str
    ended: int = 0
    budget: int = 0
    best: float | None = None
    best_trial: int | None = None
    age: float | None = None
    problem: str = ""


def list_sweeps(store: Store, now: float | None = None) -> list[Row]:
    """Returns a row for every sweep of a store, the one that moved last first.

    Args:
        store: a folder; one that does not exist has no sweeps.
        now: seconds since the epoch; by default the clock's.
    """
    rows = [_row(store, name, time.time() if now is None else now) for name in store.sweeps()]
    return sorted(rows, key=lambda row: (row.age is None, row.age or 0.0, row.sweep))


def to_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Returns the stable form of `w2s ls --json`."""
    return [asdict(row) for row in rows]


def to_table(rows: Iterable[Row]) -> Table:
    """Returns the rows for people."""
    table = Table("sweep", "state", "trials", "best", "last change", box=None, pad_edge=False)
    for row in rows:
        best = "" if row.best is None else f"{row.best:.1%}, trial {row.best_trial}"
        age = "" if row.age is None else f"{in_time(row.age)} ago"
        table.add_row(row.sweep, row.state, row.problem or f"{row.ended} of {row.budget}", best, age)
    return table


def _row(store: Store, name: str, now: float) -> Row:
    try:
        record = load_record(store, load_spec(store, name))
    except (ValueError, OSError) as error:
        return Row(name, "unreadable", problem=str(error).splitlines()[0])
    ended = record.ended
    budget = record.sweep.search.trials
    best, number = _best(record)
    moments = [moment for trial in record.trials for moment in (trial.started, trial.finished) if moment is not None]
    return Row(
        sweep=name,
        state=state_of(record, holder(store, name)),
        ended=ended,
        budget=budget,
        best=best,
        best_trial=number,
        age=max(0.0, now - max(moments)) if moments else None,
    )


def _best(record: SweepRecord) -> tuple[float | None, int | None]:
    labels = record.sweep.objective.labels
    judged = [trial for trial in record.trials if trial.state == COMPLETE and labels in trial.values]
    if not judged:
        return None, None
    best = choose(judged, labels)
    return best.values[labels], best.number
