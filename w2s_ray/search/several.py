"""The sweeps of one file with many tasks: kept under the file's name, planned and told together.

What is kept is `sweeps/NAME/tasks.json`: the sweeps as they were asked for, beside the folders of the sweeps themselves
(`sweeps/NAME-TASK`), so that `w2s resume NAME` needs no file. A sweep that has begun is told by its own folder.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.files import from_json, write_whole
from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.search.plan import Plan, make_plan
from w2s_ray.search.record import SweepRecord
from w2s_ray.search.resuming import resume_command
from w2s_ray.search.status import Status
from w2s_ray.spec import Sweep
from w2s_ray.spec.several import Several
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store
from w2s_ray.units import in_bytes

_STATES = ("complete", "pruned", "failed", "running", "waiting")


def keep(store: Store, several: Several) -> None:
    """Keeps the sweeps under the name of their file.

    Raises:
        ValueError: a sweep of one task has that name already.
    """
    if several.name in store.sweeps():
        raise ValueError(f"{several.name!r} is a sweep of one task in {store.uri}; give the file of many another name")
    store.make()
    path = _path(store, several.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [sweep.model_dump(mode="json", by_alias=True, exclude_none=True) for sweep in several.sweeps]
    write_whole(path, json.dumps(data, indent=1).encode())
    store.send_sweep(several.name)


def kept(store: Store, name: str) -> Several | None:
    """Returns the sweeps that are kept under `name`; None if it is the name of a sweep, or of nothing.

    Raises:
        ValueError: what was kept has been altered.
    """
    store.fetch_sweep(name)
    path = _path(store, name)
    if path.with_name("sweep.yaml").is_file() or not path.is_file():
        return None
    try:
        return Several(name, tuple(map(Sweep.model_validate, from_json(path.read_bytes()))))
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged ({reason}); `w2s run` with the file writes it again") from None


def names_in(store: Store) -> set[str]:
    """Returns the names that a command may be given: sweeps, and files of several."""
    return {*store.sweeps(), *store.sweeps_with("tasks.json")}


def records_of(store: Store, several: Several) -> list[SweepRecord]:
    """Returns every sweep as it stands; of one that has not begun, what was asked for."""
    begun = set(store.sweeps())
    return [
        load_record(store, load_spec(store, sweep.name) if sweep.name in begun else sweep) for sweep in several.sweeps
    ]


@dataclass(frozen=True)
class SeveralPlans:
    """The plans of the sweeps of a file, and why others cannot be laid out, by name of the sweep."""

    name: str
    plans: tuple[Plan, ...]
    failed: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of `w2s plan --json`."""
        made = [plan.to_json() for plan in self.plans]
        return {"sweep": self.name, **self._totals(), "sweeps": made, "failed": dict(self.failed)}

    def to_text(self) -> str:
        """Returns the plans for people: a line each, totals, and what is missing."""
        rows = [_plan_row(plan) for plan in self.plans]
        lines = [f"missing    {name}: {reason}" for name, reason in self.failed.items()]
        if not rows:
            return "\n".join(lines)
        counts = (str(sum(int(row[place]) for row in rows)) for place in range(1, 6))
        size, free = _sum(plan.bytes for plan in self.plans), self.plans[0].free
        total = ["in all", *counts, _time(_sum(plan.seconds for plan in self.plans)), _size(size)]
        head = ["sweep", "trials", "stored", "to run", "trainings", "unshared", "CPU time", "disk"]
        few = f"; the rest may take {_size(size)}, see `w2s gc`" if size is not None and size > free else ""
        return "\n".join([*aligned([head, *rows, total]), f"free       {in_bytes(free)} of disk{few}", *lines])

    def _totals(self) -> dict[str, object]:
        plans = self.plans
        return {
            "trials": sum(plan.trials for plan in plans),
            "stages": {"stored": sum(p.stored for p in plans), "to_run": sum(p.to_run for p in plans)},
            "trainings": {
                "without_sharing": sum(plan.without_sharing for plan in plans),
                "with_sharing": sum(plan.with_sharing for plan in plans),
            },
        }


def plan_all(several: Several) -> SeveralPlans:
    """Lays out every sweep; one that cannot be, for want of a commit or a file, is named and stops no other."""
    plans, failed = list[Plan](), dict[str, str]()
    for sweep in several.sweeps:
        try:
            plans.append(make_plan(sweep, open_store(sweep.store)))
        except ValueError as error:
            failed[sweep.name] = str(error)
    return SeveralPlans(several.name, tuple(plans), failed)


def status_json(name: str, found: Sequence[Status]) -> dict[str, object]:
    """Returns the stable form of `w2s status --json`."""
    trials = {state: sum(one.trials[state] for one in found) for state in _STATES}
    return {"sweep": name, "trials": trials, "sweeps": [one.to_json() for one in found]}


def status_text(name: str, found: Sequence[Status], address: str | None = None) -> str:
    """Returns how far the sweeps of a file are: a line each, totals, and why trials failed; `address` as `Status`'s."""
    rows = [[one.sweep, one.state, *(str(one.trials[state]) for state in _STATES), str(one.trained)] for one in found]
    finished = sum(one.state == "finished" for one in found)
    totals = (str(sum(int(row[place]) for row in rows)) for place in range(2, len(rows[0])))
    total = ["in all", f"{finished} of {len(found)} finished", *totals]
    head = ["sweep", "state", *_STATES, "trained"]
    failures = [f"{one.sweep}\n{one.failures_text()}" for one in found if one.failed]
    resume = [] if finished == len(found) else [f"resume  {resume_command(name, found[0].store, address)}"]
    return "\n".join([*aligned([head, *rows, total]), *resume, *failures])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns lines with the first column to the left and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    put: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(widths) - 1)]
    return ["  ".join(put[place](cell, widths[place]) for place, cell in enumerate(row)).rstrip() for row in rows]


def _plan_row(plan: Plan) -> list[str]:
    counts = (plan.trials, plan.stored, plan.to_run, plan.with_sharing, plan.without_sharing)
    return [plan.sweep, *map(str, counts), _time(plan.seconds), _size(plan.bytes)]


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:,.0f} s"


def _size(size: float | None) -> str:
    return "unknown" if size is None else in_bytes(int(size))


def _sum(values: Iterable[float | None]) -> float | None:
    known: list[Any] = list(values)
    return None if None in known else sum(known)


def _path(store: Store, name: str) -> Path:
    return store.sweep_folder(name) / "tasks.json"
