"""Ctrl-C and SIGTERM: once means leave in order, twice means now."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of a sweep that was stopped, as shells have it for Ctrl-C."""

_IMPORT_PAUSE = 0.05  # seconds until a signal looks again whether the import is over


@contextmanager
def orderly_interrupts(announce: Callable[[], None]) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt; at the second the process ends at once.

    Ray started by this process ends with it, however it ends. Outside the main thread, where Python allows no handlers,
    it does nothing. A signal that comes while a module is imported waits for that: an import that is torn leaves locks
    behind on which other threads wait for ever, and may hide the interrupt in an error of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if _is_importing(frame):
            # To the main thread itself, which may by then wait in a call that only its own signal ends.
            threading.Timer(_IMPORT_PAUSE, signal.pthread_kill, (threading.get_ident(), number)).start()
            return
        if came:
            os._exit(INTERRUPTED)
        came = True
        announce()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextmanager
def signals_kept() -> Iterator[None]:
    """Puts this process's handlers back after the block, which starts Ray or ends it.

    `ray.init` takes SIGTERM for itself; it would end the driver within Ray's own code, by SIGABRT and without a word.
    `ray.shutdown` gives it back to the system, behind Python's back, and it would end the driver by itself; for the
    second that Ray needs to end it still does, when nothing but the report is missing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
