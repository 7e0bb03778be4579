"""A lock that is an object: held by a process on any machine, as long as it says so again and again.

Taking and renewing it are conditional writes, so that of several processes one succeeds. Who has not renewed it for
`EXPIRY` seconds by the server's clock, or is a process that is gone from this system, has lost it to whoever comes.
"""

import errno
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from w2s_ray.files import from_json
from w2s_ray.machine import is_alive, system_id
from w2s_ray.stages.errors import StoreUnavailableError
from w2s_ray.stages.objects import Meta, Objects

EXPIRY = 60.0  # seconds without a renewal
BEAT = 15.0  # seconds between renewals
_LOOK = 3.0  # seconds between two looks of one who waits


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock."""

    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    system: str = field(default_factory=system_id)


class ObjectLock:
    """One lock.

    Args:
        objects: where it is.
        key: of its object.
    """

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects, self._key = objects, key
        self._me = Owner()
        self._tag = ""
        self._heard = -math.inf  # when it was surely the holder last
        self._ended = threading.Event()

    def owner(self) -> Owner | None:
        """Returns who holds it; None if nobody does, or the one who did is known to be gone."""
        found = self._objects.get_tagged(self._key)
        if found is None:
            return None
        owner = _parsed(found[0])
        return None if owner is None or self._is_gone(owner, found[1]) else owner

    def take(self) -> bool:
        """Takes the lock if nobody holds it, and says whether it did."""
        began, content, found = _now(), _written(self._me, 0), self._objects.get_tagged(self._key)
        if found is None:
            tag = self._objects.create(self._key, content)
        else:
            owner = _parsed(found[0])
            if owner is not None and not self._is_gone(owner, found[1]):
                return False
            tag = self._objects.replace(self._key, content, found[1].tag)
        if tag is None:
            return False
        self._tag, self._heard = tag, began
        return True

    @contextmanager
    def held(self, on_loss: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Renews a lock that was taken during the block, and then gives it back.

        Args:
            on_loss: called, in another thread, if somebody else has it by now, since this process was not heard of.
        """
        renewing = threading.Thread(target=self._renew, args=(on_loss,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._ended.set()
            renewing.join()
            with suppress(StoreUnavailableError):  # then it expires
                self._give_back()

    def be_sure(self) -> None:
        """Returns if it is sure that nobody else holds the lock, as it is while it is renewed in time.

        The server may have been away for all, or for this process alone; or the machine slept. To be called within
        `held`, whose thread finds out.

        Raises:
            StoreUnavailableError: it is not, for now or for good.
        """
        if _now() - self._heard > EXPIRY - BEAT:
            raise StoreUnavailableError(
                errno.EAGAIN,
                f"{self._objects.uri} has not heard for {EXPIRY - BEAT:.0f} s that this process holds {self._key}, so "
                "another may. See whether the bucket can be reached from here; nothing is written until it is.",
            )

    def wait(self) -> None:
        """Returns once the lock is taken."""
        while not self.take():
            time.sleep(_LOOK)

    def _renew(self, on_loss: Callable[[], None]) -> None:
        beats = 0
        while not self._ended.wait(BEAT):
            beats += 1
            began = _now()
            try:
                tag = self._objects.replace(self._key, _written(self._me, beats), self._tag)
            except StoreUnavailableError:
                continue  # perhaps for others too, perhaps not
            if tag is None:
                self._heard = -math.inf
                return on_loss()
            self._tag, self._heard = tag, began
        return None

    def _give_back(self) -> None:
        found = self._objects.get(self._key)
        if found is not None and _parsed(found) == self._me:
            self._objects.delete(self._key)

    def _is_gone(self, owner: Owner, meta: Meta) -> bool:
        if owner.system == self._me.system and not is_alive(owner.pid):
            return True
        return server_time(self._objects) - meta.modified > EXPIRY


def _now() -> float:
    """Returns seconds by a clock that goes on while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def server_time(objects: Objects) -> float:
    """Returns the seconds since 1970 by the server's clock, with which no machine's own need agree."""
    key = f"clock/{socket.gethostname()}-{os.getpid()}"
    objects.put(key, b"")
    meta = objects.head(key)
    return meta.modified if meta else 0.0


def _written(owner: Owner, beats: int) -> bytes:
    return json.dumps({**asdict(owner), "beats": beats}).encode()


def _parsed(content: bytes) -> Owner | None:
    """Returns what `_written` wrote; None for anything else, which holds nothing."""
    try:
        data = from_json(content)
        who = str(data["host"]), int(data["pid"]), str(data["since"]), str(data["token"])
        return Owner(*who, system=str(data.get("system", "")))
    except (ValueError, KeyError, TypeError):
        return None
