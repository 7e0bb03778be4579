"""Checks one after another, none of which can hide the next: not by an exception, and not by hanging.

A check is a plain function from what it looks at to findings. It runs in a thread of its own, since a mount or a
device that hangs cannot be interrupted; after its time it is left alone, and that it hung is what was found. They do
not run at once, because libraries that several threads import may meet themselves half imported.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin one from Python 3.11 on
from typing import TypeVar

from w2s_ray.doctor.finding import Finding, first_line, problem

PATIENCE = 45.0
"""Seconds that one check may take; the import of torch takes up to 10 of them on a busy machine."""

_Subject = TypeVar("_Subject")
_Result = TypeVar("_Result")


def run_checks(
    checks: Iterable[Callable[[_Subject], list[Finding]]], subject: _Subject, seconds: float = PATIENCE
) -> list[Finding]:
    """Returns what all `checks` find in `subject`, each within `seconds`."""
    return [finding for check in checks for finding in _found(check, subject, seconds)]


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Returns what `work` returns, or raises what it raises; TimeoutError if it takes longer, and leaves it alone."""
    ended: Future[_Result] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:  # raised again below, whatever it is
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return ended.result(timeout=seconds)
    except FutureTimeoutError:
        if ended.done():  # `work` itself raised it
            raise
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def _found(check: Callable[[_Subject], list[Finding]], subject: _Subject, seconds: float) -> list[Finding]:
    name = check.__name__.replace("_", " ")
    try:
        return within(seconds, lambda: check(subject))
    except TimeoutError as error:
        asked = (check.__doc__ or "").strip().splitlines()[0].rstrip(".")
        mend = "see whether the disk, mount, server or device that it asks answers at all"
        return [problem(name, f"{error} ({asked})", mend)]
    except Exception as error:
        says = f"could not be checked: {first_line(error)}"
        return [problem(name, says, "mend what the error names; the checks after it were made")]
