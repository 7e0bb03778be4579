"""One driver at a time works on a sweep: it holds a lock that the system drops when its process ends, in any way.

For a store in a bucket there is an object besides, which a driver renews and loses a minute after its last renewal; on
one machine it is free as soon as the process is gone.
"""

import fcntl
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from w2s_ray.files import from_json
from w2s_ray.machine import system_id
from w2s_ray.stages.errors import store_errors
from w2s_ray.stages.locks import ObjectLock
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import LEASE

_log = logging.getLogger("w2s_ray.search")
_GRACE_SECONDS = 40.0  # an orderly end takes up to 30


class SweepInUseError(RuntimeError):
    """Another driver works on the sweep."""


@dataclass(frozen=True)
class Holder:
    """The process that works on a sweep."""

    host: str
    pid: int
    since: str
    system: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


_UNKNOWN = Holder("an unknown machine", 0, "just now")


@contextmanager
def lease(store: Store, name: str, *, take_over: bool = False) -> Iterator[Callable[[], None]]:
    """Holds the sweep for this process; of a store in a bucket brings the sweep's folder, too.

    Args:
        store: where the sweep lives.
        name: of the sweep.
        take_over: ends a driver that holds it, if it runs on this machine: in order, and after 40 s by force.

    Yields:
        What raises StoreUnavailableError unless it is sure that this process still holds the sweep; to be called
        before a write that another driver must not see.

    Raises:
        SweepInUseError: another driver holds it; says which and since when.
        StoreUnavailableError: the store cannot be used. A full disk is no hindrance where a driver was before.
    """
    if not isinstance(store, ObjectStore):
        with _on_this_machine(store, name, take_over=take_over):
            yield lambda: None
        return
    store.make()
    with _on_this_machine(store, name, take_over=take_over):
        lock = _lock_in_bucket(store, name)
        _take(lambda patience: _taken(lock, patience), lambda: _owner(lock) or _UNKNOWN, name, take_over=take_over)
        with lock.held(on_loss=_give_way):
            store.fetch_sweep(name, is_mine=True)
            yield lock.be_sure


@contextmanager
def _on_this_machine(store: Store, name: str, *, take_over: bool) -> Iterator[None]:
    with ExitStack() as opened:
        with store_errors(store.root, f"taking sweep {name}"):
            path = _path(store, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = opened.enter_context(path.open("a+b", buffering=0))
        _take(lambda patience: _lock(file, patience), lambda: _read(file), name, take_over=take_over)
        me = Holder(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"), system_id())
        with suppress(OSError):  # the lock is what counts; who has it is only told, and on a full disk it is not
            file.truncate(0)
            file.write(json.dumps(asdict(me)).encode())
        yield
        with suppress(OSError):
            file.truncate(0)


def holder(store: Store, name: str) -> Holder | None:
    """Returns who runs the sweep, or None if nobody does."""
    path = _path(store, name)
    if path.exists():
        with path.open("rb") as file:  # the store may be read-only
            if not _lock(file, exclusive=False):
                return _read(file)
    if not isinstance(store, ObjectStore):
        return None
    return _owner(_lock_in_bucket(store, name))


def _lock_in_bucket(store: ObjectStore, name: str) -> ObjectLock:
    return ObjectLock(store.objects, f"sweeps/{name}/{LEASE}")


def _owner(lock: ObjectLock) -> Holder | None:
    owner = lock.owner()
    return Holder(owner.host, owner.pid, owner.since, owner.system) if owner else None


def _taken(lock: ObjectLock, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not lock.take():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _give_way() -> None:
    """Ends this driver in order: it was not heard of for so long that another one took the sweep."""
    _log.error("another driver took the sweep, since the store heard nothing of this one; this one stops")
    os.kill(os.getpid(), signal.SIGTERM)


def _path(store: Store, name: str) -> Path:
    return store.sweep_folder(name) / LEASE


def _read(file: IO[bytes]) -> Holder:
    file.seek(0)
    try:
        return Holder(**from_json(file.read()))
    except (ValueError, TypeError):  # it is being written just now
        return _UNKNOWN


def _lock(file: IO[bytes], seconds: float = 0.25, *, exclusive: bool = True) -> bool:
    # Tried for a moment, since someone who only looks at the holder has the lock for an instant.
    deadline, kind = time.monotonic() + seconds, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _take(take: Callable[[float], bool], owner: Callable[[], Holder], name: str, *, take_over: bool) -> None:
    """Takes a lock; `take` waits for it as many seconds as it is told."""
    if take(0.25):
        return
    held_by = owner()
    if not take_over:
        raise SweepInUseError(
            f"sweep {name!r} is being run by {held_by}; wait for it, stop it, or end it by w2s run or resume with "
            "--take-over"
        )
    _end(held_by, name, take)


def _end(held_by: Holder, name: str, take: Callable[[float], bool]) -> None:
    if held_by.system != system_id() or held_by.pid == 0:
        raise SweepInUseError(f"sweep {name!r} is being run by {held_by}; it can be taken over on its own machine only")
    for number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.kill(held_by.pid, number)
        if take(patience):
            return
    raise SweepInUseError(f"sweep {name!r} is still held by {held_by}, which does not end")
