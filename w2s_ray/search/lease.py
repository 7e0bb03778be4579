"""One driver at a time works on a sweep: it holds a lock that the system drops when its process ends, in any way."""

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from w2s_ray.stages.store import Store

_GRACE_SECONDS = 40.0  # an orderly end takes up to 30


class SweepInUseError(RuntimeError):
    """Another driver works on the sweep."""


@dataclass(frozen=True)
class Holder:
    """The process that works on a sweep."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@contextmanager
def lease(store: Store, name: str, *, take_over: bool = False) -> Iterator[None]:
    """Holds the sweep for this process.

    Args:
        store: where the sweep lives.
        name: of the sweep.
        take_over: ends a driver that holds it, if it runs on this machine: in order, and after 40 s by force.

    Raises:
        SweepInUseError: another driver holds it; says which and since when.
    """
    path = _path(store, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        if not _lock(file):
            held_by = _read(file)
            if take_over:
                _end(held_by, name, file)
            else:
                raise SweepInUseError(
                    f"sweep {name!r} is being run by {held_by}; wait for it, stop it, or use --take-over"
                )
        file.seek(0)
        file.truncate()
        me = Holder(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
        file.write(json.dumps(asdict(me)))
        file.flush()
        yield
        file.truncate(0)


def holder(store: Store, name: str) -> Holder | None:
    """Returns who runs the sweep, or None if nobody does."""
    path = _path(store, name)
    if not path.exists():
        return None
    with path.open("r+", encoding="utf-8") as file:
        return None if _lock(file) else _read(file)


def _path(store: Store, name: str) -> Path:
    return store.sweep_folder(name) / "driver.lock"


def _read(file: IO[str]) -> Holder:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # it is being written just now
        return Holder("an unknown machine", 0, "just now")


def _lock(file: IO[str], seconds: float = 0.25) -> bool:
    # Tried for a moment, since someone who only looks at the holder has the lock for an instant.
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _end(held_by: Holder, name: str, file: IO[str]) -> None:
    if held_by.host != socket.gethostname() or held_by.pid == 0:
        raise SweepInUseError(f"sweep {name!r} is being run by {held_by}; it can be taken over on its own machine only")
    for number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.kill(held_by.pid, number)
        if _lock(file, patience):
            return
    raise SweepInUseError(f"sweep {name!r} is still held by {held_by}, which does not end")
