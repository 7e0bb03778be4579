"""The files of a sweep's folder between the machine that drives it, which writes them, and the bucket that all read.

A file of lines is sent up to its last whole line, and of two versions of it the longer one is the newer. While a driver
works here its own folder is the truth and nothing is fetched.
"""

import fcntl
from collections.abc import Iterator
from pathlib import Path

from w2s_ray.files import write_whole
from w2s_ray.stages.objects import Objects, in_parallel

LEASE = "driver.lock"
"""Name of the file that a driver locks in the sweep's folder on its own machine."""

STARTS, FAILURES, SPENT = "starts.jsonl", "failures.jsonl", "spent.jsonl"
"""Names of the files of lines that a sweep's broker writes."""

_TOLD = ("sweep.yaml", "tasks.json", "study.json", "database.json", STARTS, FAILURES, SPENT)
_LINES = ".jsonl"
_NOT_SENT = ("exports", LEASE)
_sent: dict[str, tuple[int, int]] = {}  # path to size and time of change of what this process sent


class SweepFiles:
    """Those of one sweep.

    Args:
        objects: of the store.
        folder: of the sweep on this machine; its last two names are the keys' prefix.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects, self._folder = objects, folder
        self._prefix = f"sweeps/{folder.name}"

    def fetch(self, *, is_mine: bool = False) -> None:
        """Brings the files that commands read. What the bucket does not have is removed, but for lines.

        Args:
            is_mine: whether the driver that locks the folder is this process.
        """
        if not is_mine and _is_driven_here(self._folder):
            return
        found = dict(
            zip(_TOLD, in_parallel(lambda name: self._objects.get(f"{self._prefix}/{name}"), _TOLD), strict=True)
        )
        for name, content in found.items():
            path = self._folder / name
            if content is None:
                if not name.endswith(_LINES):
                    path.unlink(missing_ok=True)
            elif not (name.endswith(_LINES) and path.exists() and path.stat().st_size >= len(content)):
                _write(path, content)

    def send(self) -> None:
        """Sends what this process has not sent yet, or what has changed since."""
        in_parallel(self._send, list(self._changed()))

    def _changed(self) -> Iterator[Path]:
        for path in sorted(self._folder.rglob("*")):
            first = path.relative_to(self._folder).parts[0]
            is_draft = path.name.startswith(".") or path.suffix == ".tmp"
            if first not in _NOT_SENT and not is_draft and path.is_file() and _sent.get(str(path)) != _state(path):
                yield path

    def _send(self, path: Path) -> None:
        state, content = _state(path), path.read_bytes()
        if path.suffix == _LINES:
            content = content[: content.rfind(b"\n") + 1]
        self._objects.put(f"{self._prefix}/{path.relative_to(self._folder).as_posix()}", content)
        _sent[str(path)] = state


def _is_driven_here(folder: Path) -> bool:
    try:
        with (folder / LEASE).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
