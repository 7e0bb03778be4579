"""What a stage's process used while it ran: facts of execution, shown as MLflow's system metrics.

Looked at where a training reports a row, and once at its end: no thread, 0.15 ms each. Percentages of CPU are means
since the look before, the rest is of the moment. Looks are kept in the stage's work folder, so that a training that was
interrupted has them all, and then in its record; they enter no address and no checksum.
"""

import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from w2s_ray.files import from_json

USAGE = "usage.jsonl"
Look = dict[str, float]

_PAUSE = 5.0  # seconds between two looks, at first
_GROWTH = 0.05  # of the time so far: 155 looks for a day, 20 for its first 100 s


class Usage:
    """The looks at this process, in a file.

    Args:
        file: to add to; its folder exists.
        device: of the training; a GPU is looked at too.
        clock: seconds that only rise.
    """

    def __init__(self, file: Path, device: str = "cpu", clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._device, self._clock = file, device, clock
        self._process = psutil.Process()
        self._begun = self._last = clock()
        psutil.cpu_percent()  # means begin here
        self._process.cpu_percent()

    def look_if_due(self) -> None:
        """Looks, if the last look is long enough ago."""
        now = self._clock()
        if now - self._last >= max(_PAUSE, _GROWTH * (now - self._begun)):
            self.look()

    def look(self) -> None:
        """Adds one look. Raises OSError if it cannot be written."""
        self._last = self._clock()
        memory = psutil.virtual_memory()
        look = {
            "time": time.time(),
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
            "system_memory_usage_percentage": round(100 * memory.used / memory.total, 1),
            "process_cpu_percentage": self._process.cpu_percent(),  # 100 is one core
            "process_memory_megabytes": round(self._process.memory_info().rss / 1e6, 1),
            **(_gpu(self._device) if self._device.startswith("cuda") else {}),
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(look))  # the line before may have been cut by a kill


def read_usage(file: Path) -> list[Look]:
    """Returns the looks in `file`, without one that was cut; none if there is no file."""
    return parse_usage(file.read_text(encoding="utf-8", errors="replace")) if file.exists() else []


def parse_usage(text: str) -> list[Look]:
    """Returns the looks in the lines of `text`, without one that was cut."""
    return [look for look in map(_parsed, text.splitlines()) if look]


def is_usage(rows: object) -> bool:
    """Whether `rows` has the form of looks."""
    return isinstance(rows, list) and all(isinstance(row, dict) and "time" in row and _is_plain(row) for row in rows)


def _is_plain(row: dict[object, object]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in row.values())


def _parsed(line: str) -> Look | None:
    try:
        row: Look = from_json(line)
    except ValueError:
        return None
    return row if is_usage([row]) else None


def _gpu(device: str) -> Look:
    """Returns the memory in use on a GPU, and how busy it is where nvidia-ml-py is installed to tell."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    number = torch.device(device).index or 0
    look = {
        f"gpu_{number}_memory_usage_megabytes": round((total - free) / 1e6, 1),
        f"gpu_{number}_memory_usage_percentage": round(100 * (total - free) / total, 1),
    }
    if importlib.util.find_spec("pynvml") is not None:
        look[f"gpu_{number}_utilization_percentage"] = float(torch.cuda.utilization(device))
    return look
