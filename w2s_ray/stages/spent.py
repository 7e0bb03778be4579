"""What the stages of a sweep took, tries that failed or were lost included: spent.jsonl in the sweep's folder.

The broker writes a line when a stage's work begins and one when the try has ended, so that the sum survives a restart.
The end that nobody saw, since the driver died with its stages, is where the stage's process last looked at itself
(`usage`): after at most 5 s, or a twentieth of the time that it had trained by then.
"""

from dataclasses import dataclass
from typing import Any

from w2s_ray.files import from_json
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import SPENT

Line = dict[str, Any]

_HOUR = 3600.0


@dataclass(frozen=True)
class Used:
    """Hours of CPUs and GPUs that stages held."""

    cpu_hours: float = 0.0
    gpu_hours: float = 0.0


def began(stage: Stage, now: float) -> Line:
    """Returns the line of a stage whose work begins; all its workers together."""
    resources = stage.execution.resources
    held = {"cpus": resources.cpus * resources.workers, "gpus": (resources.gpus or 0.0) * resources.workers}
    return {"time": now, "address": stage.address, **held}


def ended(stage: Stage, now: float, seconds: float) -> Line:
    """Returns the line of a try that is over."""
    return {**began(stage, now), "seconds": seconds}


class Meter:
    """Adds up what a sweep used; reads of the file only what is new.

    What has begun and not ended when a meter is made was left by a driver that died, or is another process's affair:
    it counts until its last look. What begins later counts until now.

    Args:
        store: where the sweep lives.
        name: of the sweep.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._path = store, store.sweep_folder(name) / SPENT
        self._read = 0  # bytes
        self._cpu_seconds = self._gpu_seconds = 0.0
        self._open: dict[str, Line] = {}
        self._take_new()
        for line in self._open.values():
            self._add(line, self._last_look(line, float("inf")) - line["time"])
        self._open.clear()

    def used(self, now: float) -> Used:
        """Returns what was used until `now`, in seconds since the epoch."""
        self._take_new()
        running = [(line, max(0.0, now - line["time"])) for line in self._open.values()]
        return Used(
            (self._cpu_seconds + sum(line["cpus"] * seconds for line, seconds in running)) / _HOUR,
            (self._gpu_seconds + sum(line["gpus"] * seconds for line, seconds in running)) / _HOUR,
        )

    def _take_new(self) -> None:
        if not self._path.is_file() or self._path.stat().st_size <= self._read:
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in filter(None, map(_parsed, whole.splitlines())):
            self._take(line)

    def _take(self, line: Line) -> None:
        before = self._open.pop(line["address"], None)
        if "seconds" in line:
            self._add(line, line["seconds"])
            return
        if before is not None:  # the driver died, and the next one makes it again
            self._add(before, self._last_look(before, line["time"]) - before["time"])
        self._open[line["address"]] = line

    def _add(self, line: Line, seconds: float) -> None:
        self._cpu_seconds += line["cpus"] * seconds
        self._gpu_seconds += line["gpus"] * seconds

    def _last_look(self, line: Line, before: float) -> float:
        """Returns when the process of a try that began at a line last looked at itself; then, if it never did."""
        looks = self._store.usage(line["address"])
        stored = None if looks else self._store.read(line["address"])
        times = [look["time"] for look in (stored.record.usage if stored else looks)]
        return max((time for time in times if line["time"] <= time < before), default=line["time"])


def _parsed(content: bytes) -> Line | None:
    """Returns a line's data, None for one that a full disk or a kill tore, and for any other that says nothing."""
    try:
        line = from_json(content)
    except ValueError:
        return None
    return line if isinstance(line, dict) and _is_whole(line) else None


def _is_whole(line: Line) -> bool:
    numbers = [line.get("time"), line.get("cpus"), line.get("gpus"), line.get("seconds", 0.0)]
    return isinstance(line.get("address"), str) and all(isinstance(number, int | float) for number in numbers)
