"""Ctrl-C and SIGTERM: once means leave in order, twice means now."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of a sweep that was stopped, as shells have it for Ctrl-C."""


@contextmanager
def orderly_interrupts(announce: Callable[[], None]) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt; at the second the process ends at once.

    Ray started by this process ends with it, however it ends. Outside the main thread, where Python allows no handlers,
    it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
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
