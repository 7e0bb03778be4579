"""Whether Ray is still there. It does not say so itself.

Measured with Ray 2.60: after a `kill -9` of the raylet Tune starts its trials again and again and the driver hangs;
after one of gcs_server every call waits, and after 60 s Ray's core ends the process, past every `finally`. Neither can
be mended from here, and all that counts is in study and store; so the driver leaves at once and says how to go on.

While a driver connects to its raylet, Ray's core holds Python's lock: for 9 s where the raylet was killed then, for
ever where it answers no more. No thread of Python runs meanwhile; so the limit for starting and ending needs none.
"""

import faulthandler
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

_LOOK_SECONDS = 1.0
_LOOK_AT_START_SECONDS = 0.2  # the shorter, the surer a process was seen before it is gone
_RAYS_OWN_SECONDS = 3.0  # in which Ray says why its gcs_server did not start, with the end of its log
_START_SECONDS = 150.0  # on a machine that is very busy; Ray itself gives up on each part of it after 30, as a rule
_LOGS = "session_latest/logs in /tmp/ray, or where RAY_TMPDIR says"
_SERVERS = ("gcs_server", "raylet")  # without which no Ray starts
_PATIENCE_SECONDS = 45.0  # a cluster's head may be restarted; Ray's core waits for 60


@contextmanager
def watched(on_loss: Callable[[str], None]) -> Iterator[None]:
    """Calls `on_loss` with what is gone, from a thread, if Ray ends while the block starts it and uses it."""
    over, others = threading.Event(), frozenset(_children())  # such as those of a Ray before

    def watch() -> None:
        lost = _lost_at_start(over, others) or _lost(over)
        if lost:
            on_loss(lost)

    thread = threading.Thread(target=watch, name="w2s-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _node() -> Any:
    """Returns Ray's node of this process; None until it has been started, or was joined."""
    return getattr(sys.modules.get("ray._private.worker"), "_global_node", None)


def _lost_at_start(over: threading.Event, others: frozenset[psutil.Process]) -> str | None:
    """Waits until Ray is started, or joined; returns why it will not be, None where it is or the block is over.

    With Ray 2.60 the start waits 30 s for a raylet that was killed, and now and then for ever.
    """
    began, servers = time.monotonic(), dict[psutil.Process, str]()
    while not over.wait(_LOOK_AT_START_SECONDS) and _node() is None:
        new = {child: _name(child) for child in _children() if child not in others}
        servers |= {child: name for child, name in new.items() if name in _SERVERS}
        dead = [name for child, name in servers.items() if not _lives(child)]
        if dead:
            return None if over.wait(_RAYS_OWN_SECONDS) else f"{_ended(dead[0])} Ray's logs: {_LOGS}."
        if time.monotonic() - began > _START_SECONDS:
            return f"Ray did not start within {_START_SECONDS:.0f} s; its logs: {_LOGS}."
    return None


def _lost(over: threading.Event) -> str | None:
    """Waits until something of the Ray that was started is gone, and returns what; None where the block is over."""
    seen, node = time.monotonic(), _node()
    while not over.wait(_LOOK_SECONDS):
        dead = [name for name, _ in node.dead_processes()]
        if dead:
            return _ended(dead[0])
        if _answers(node.gcs_address):
            seen = time.monotonic()
        elif time.monotonic() - seen > _PATIENCE_SECONDS:
            return f"the Ray cluster at {node.gcs_address} does not answer"
    return None


def _ended(name: str) -> str:
    return f"Ray's process {name} ended; was it killed, or is memory short?"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends this process with exit code 1 where the block takes longer, and shows on standard error where it was.

    A `faulthandler.dump_traceback_later` of the caller's own is cancelled: there is one in a process.
    """
    try:
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _children() -> list[psutil.Process]:
    try:
        return list(psutil.Process().children())
    except psutil.Error:  # where /proc hides what others run; the limit is left then
        return []


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError:
        return False
    return True
