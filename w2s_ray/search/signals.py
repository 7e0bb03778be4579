"""Ctrl-C and SIGTERM: once means leave in order, within half a minute; twice means now."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code of a sweep that was stopped, as shells have it for Ctrl-C."""

LEAVING_SECONDS = 30.0
"""What an orderly end may take, all of it together."""

_RESERVE = 2.0  # seconds of these that no step is given
_IMPORT_PAUSE = 0.05  # seconds until a signal looks again whether the import is over
_LOOK = 0.2  # seconds


class Leaving:
    """Whether this process was told to leave in order, and how much of the time for that is left.

    Args:
        patience: seconds from the first signal on.
    """

    def __init__(self, patience: float = LEAVING_SECONDS) -> None:
        self._patience = patience
        self.began: float | None = None
        self.was_lost = self.is_sent_again = False  # the interrupt, which Python threw away

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return self.began is not None and time.monotonic() > self.began + self._patience

    def seconds(self, most: float, then: float = 0.0) -> float:
        """Returns how long a step may take: `most`, or what is left where that is less.

        Args:
            most: seconds.
            then: seconds that the steps after it take.
        """
        if self.began is None:
            return most
        return max(0.0, min(most, self.began + self._patience - _RESERVE - then - time.monotonic()))


@contextmanager
def orderly_interrupts(announce: Callable[[], None], patience: float = LEAVING_SECONDS) -> Iterator[Leaving]:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt; at the second the process ends at once.

    So it does when the block is not left within `patience` seconds of the first. Where the interrupt meets code whose
    errors Python throws away, such as a `__del__`, it comes again. Ray started by this process ends with it, however
    it ends. Outside the main thread, where Python allows no handlers, nothing of this is done.

    A signal that comes while a module is imported waits for that: an import that is torn leaves locks behind on which
    other threads wait for ever, and may hide the interrupt in an error of its own.
    """
    leaving = Leaving(patience)
    if threading.current_thread() is not threading.main_thread():
        yield leaving
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_importing(frame):
            # To the main thread itself, which may by then wait in a call that only its own signal ends.
            threading.Timer(_IMPORT_PAUSE, signal.pthread_kill, (threading.get_ident(), number)).start()
            return
        if leaving.is_sent_again:
            leaving.is_sent_again = False
            raise KeyboardInterrupt
        if leaving.began is not None:
            os._exit(INTERRUPTED)
        leaving.began = time.monotonic()
        announce()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _seen_to(leaving):
            yield leaving
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _seen_to(leaving: Leaving) -> Iterator[None]:
    """Sends an interrupt that was lost again, and ends the process when the time for leaving is over.

    By a thread that was there before: a handler may interrupt what holds the very lock that another would need.
    """
    over, told_before = threading.Event(), sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is KeyboardInterrupt and leaving.began is not None:
            leaving.was_lost = True
        else:
            told_before(unraisable)

    def watch(main: int) -> None:
        while not over.wait(_LOOK):
            if leaving.was_lost:
                leaving.was_lost, leaving.is_sent_again = False, True
                signal.pthread_kill(main, signal.SIGINT)
            if leaving.is_late:
                os.write(2, b"w2s: this took too long, and ends here; what was saved by now is kept\n")
                os._exit(INTERRUPTED)

    sys.unraisablehook = hook
    thread = threading.Thread(target=watch, args=(threading.get_ident(),), name="w2s-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.unraisablehook = told_before
        over.set()


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
