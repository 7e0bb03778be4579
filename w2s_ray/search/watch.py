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

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 45.0  # a cluster's head may be restarted; Ray's core waits for 60


@contextmanager
def watched(on_loss: Callable[[str], None]) -> Iterator[None]:
    """Calls `on_loss` with what is gone, from a thread, if Ray ends while the block starts it and uses it."""
    over = threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            node = _node()
            if node is None:
                continue
            dead = [name for name, _ in node.dead_processes()]
            if _answers(node.gcs_address):
                seen = time.monotonic()
            if dead:
                on_loss(f"Ray's process {dead[0]} ended; was it killed, or is memory short?")
            elif time.monotonic() - seen > _PATIENCE_SECONDS:
                on_loss(f"the Ray cluster at {node.gcs_address} does not answer")

    thread = threading.Thread(target=watch, name="w2s-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends this process with exit code 1 where the block takes longer, and shows on standard error where it was."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _node() -> Any:
    """Returns Ray's node of this process; None until it has been started, or was joined."""
    worker = sys.modules.get("ray._private.worker")
    return getattr(worker, "_global_node", None)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError:
        return False
    return True
