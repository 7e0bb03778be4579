"""What a sweep's broker writes down: lines of three files in the sweep's folder.

Each start of a stage is one of `starts.jsonl`, and each try that ended badly one of `failures.jsonl`, so that it can be
seen what ran, and how often; `spent.jsonl` says what that took (see `spent`).
"""

import json
import time
from typing import Any

from ray.exceptions import TaskCancelledError

from w2s_ray.files import append_whole
from w2s_ray.stages.attempts import innermost, reason_of, traceback_of, verdict_on
from w2s_ray.stages.errors import StoreUnavailableError, store_errors
from w2s_ray.stages.nodes import NodeLostError
from w2s_ray.stages.spent import Line, began, ended
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import FAILURES, SPENT, STARTS


class Diary:
    """Raises StoreUnavailableError where a start or a failure cannot be written; what was spent waits for its time.

    Args:
        store: where the sweep lives.
        sweep: its name.
    """

    def __init__(self, store: Store, sweep: str) -> None:
        self._store, self._sweep = store, sweep
        self._begun: dict[str, float] = {}  # stages that work, since when by a clock that only rises
        self._unwritten: list[Line] = []  # of what was spent

    def started(self, batch: list[Stage]) -> None:
        """Writes that stages were handed to Ray."""
        now = time.time()
        self._write(STARTS, [{"time": now, "address": one.address, "label": one.execution.label} for one in batch])

    def begun(self, stage: Stage) -> None:
        """Writes that a stage's work begins."""
        self._begun[stage.address] = time.monotonic()
        self._spend(began(stage, time.time()))

    def ended(self, stage: Stage, worked: float | None) -> None:
        """Writes what a try took: `worked` seconds as it says itself, or, where it failed, since its work began."""
        since = self._begun.pop(stage.address, None)
        seconds = time.monotonic() - since if worked is None and since is not None else worked
        if seconds:
            self._spend(ended(stage, time.time(), seconds))

    def failed(self, stage: Stage, error: Exception, *, again: bool) -> None:
        """Writes why a try failed, unless that was asked for, or is no fault of the stage's."""
        if verdict_on(error) == "store" or isinstance(innermost(error), TaskCancelledError):
            return  # a full disk takes no line
        if isinstance(error, NodeLostError) and not error.had_begun:
            return
        line = {"time": time.time(), "address": stage.address, "label": stage.execution.label, "again": again}
        reason = {"verdict": verdict_on(error), "error": reason_of(error), "traceback": traceback_of(error)}
        self._write(FAILURES, [{**line, **reason}])

    def _spend(self, line: Line) -> None:
        self._unwritten.append(line)
        try:
            self._write(SPENT, self._unwritten)
        except StoreUnavailableError:
            return  # written with the next one
        self._unwritten.clear()

    def _write(self, name: str, lines: list[dict[str, Any]]) -> None:
        path = self._store.sweep_folder(self._sweep) / name
        self._store.must_exist(f"writing {name}")
        with store_errors(self._store.root, f"writing {name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            append_whole(path, "".join(json.dumps(line) + "\n" for line in lines).encode())
