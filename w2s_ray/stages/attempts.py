"""Whether a stage that ended badly is tried again, and when.

What happened decides, not how often alone. A *lost* node says nothing about the stage: it is tried again without limit;
so is a training that has *moved*: away from a node with notice, or on to more workers.
A process that *died* may have been killed from outside, or kill itself each time: it is tried again as long as it gets
further, and ten times without a new checkpoint at most. What *failed* by an error that may pass is tried again as often
as `resources.retries` says. An error that follows from the settings would come again, so it is *final*. A store that
is full or gone is waited for, since a person may be mending it.
"""

import re
import traceback
from typing import Literal

from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

from w2s_ray.secrets import redacted
from w2s_ray.stages.errors import StoreUnavailableError, cause_of
from w2s_ray.stages.nodes import NodeLostError, TrainingMovedError
from w2s_ray.training.errors import DeviceOutOfMemory, PeerLost, TrainingStopped

Verdict = Literal["lost", "moved", "died", "failed", "final", "store"]

MOST_DEATHS = 10
_LONGEST_PAUSE = 30.0  # seconds
_STORE_PAUSE = 2.0
_LONGEST_REASON = 2000  # characters
_LONGEST_TRACEBACK = 8000

_WRAPPED = ("cause", "controller_failure", "health_check_failure")  # where Ray and Ray Train keep the error itself

# Of Ray Train, which has no public names for them: no place was free in a minute, and a worker died as it started.
_NO_PLACE, _STILLBORN = "WorkerGroupStartupTimeoutError", "WorkerGroupStartupFailedError"

_ASKED_FOR = (TrainingStopped, TaskCancelledError, KeyboardInterrupt)
_SAME_AGAIN = (DeviceOutOfMemory, ValueError, TypeError, LookupError, ImportError, AssertionError, AttributeError)


class StageDiedError(RuntimeError):
    """The process of a stage died again and again, or the machine's memory did not suffice for it."""


class Attempts:
    """Counts how the tries of one stage ended.

    Args:
        retries: tries after the first that may fail.
        patience: seconds that an unusable store is waited for.
    """

    def __init__(self, retries: int, patience: float) -> None:
        self._retries, self._patience = retries, patience
        self._counts: dict[Verdict, int] = {"lost": 0, "died": 0, "failed": 0}
        self._waited = 0.0
        self._checkpoint: str | None = None

    def pause_after(self, error: BaseException, checkpoint: str | None) -> float | None:
        """Returns the seconds until the next try, or None if there is none.

        Args:
            error: what the try ended with, as Ray raised it.
            checkpoint: name of the newest one that is left; a new one is progress.
        """
        verdict = verdict_on(error)
        if checkpoint != self._checkpoint:
            self._checkpoint, self._counts["died"] = checkpoint, 0
        if verdict == "final":
            return None
        if verdict == "moved":
            return 0.0
        if verdict == "store":
            self._waited += _STORE_PAUSE
            return _STORE_PAUSE if self._waited <= self._patience else None
        self._waited = 0.0
        self._counts[verdict] += 1
        count = self._counts[verdict]
        if count > {"lost": count, "died": MOST_DEATHS, "failed": self._retries}[verdict]:
            return None
        return float(min(_LONGEST_PAUSE, 0.5 * 2 ** (count - 1)))


def verdict_on(error: BaseException) -> Verdict:
    """Says what ended a try; `error` is as Ray raised it, wrapped or not."""
    if cause_of(error, StoreUnavailableError) is not None:
        return "store"
    error = innermost(error)
    if isinstance(error, TrainingMovedError):
        return "moved"
    if isinstance(error, NodeDiedError | LocalRayletDiedError | NodeLostError) or getattr(error, "preempted", False):
        return "lost"
    if found_no_place(error):
        return "lost"
    if _is_death(error):
        return "died"
    return "final" if isinstance(error, _ASKED_FOR + _SAME_AGAIN) else "failed"


def found_no_place(error: BaseException) -> bool:
    """Whether a worker group waited for its places for so long that it is to look for them anew: no failure at all."""
    return type(innermost(error)).__name__ == _NO_PLACE


def explained(error: Exception, label: str) -> Exception:
    """Returns what to raise for the last `error` of a stage: itself, or what it means where Ray does not say."""
    inner = innermost(error)
    if isinstance(inner, OutOfMemoryError):
        return StageDiedError(
            f"{label}: the machine ran out of memory; lower micro_batch (results do not depend on it) or "
            "search.parallelism, or give the stage more cpus so that fewer run beside it"
        )
    if _is_death(inner):
        return StageDiedError(
            f"{label}: its process died {MOST_DEATHS + 1} times without getting further. If nobody killed it, memory "
            "may be short: lower micro_batch or search.parallelism"
        )
    return error


def _is_death(error: BaseException) -> bool:
    return isinstance(error, WorkerCrashedError | RayActorError | PeerLost) or type(error).__name__ == _STILLBORN


def innermost(error: BaseException) -> BaseException:
    """Returns the error that a task raised, without what Ray and Ray Train wrapped it in.

    Of a group that is the error of the worker that failed first: what lost its peer only tells the consequence.
    """
    workers = [innermost(one) for one in (getattr(error, "worker_failures", None) or {}).values()]
    if workers:
        return min(workers, key=lambda one: isinstance(one, PeerLost))
    inner = next(filter(None, (getattr(error, name, None) for name in _WRAPPED)), None)
    return innermost(inner) if isinstance(inner, BaseException) and inner is not error else error


def reason_of(error: BaseException) -> str:
    """Returns an error in a line or a few, as people read it and as study, store and MLflow keep it."""
    inner = innermost(error)
    return redacted(f"{type(inner).__name__}: {inner}".strip())[:_LONGEST_REASON]


def traceback_of(error: BaseException) -> str:
    """Returns the traceback within the process that failed, without colours and Ray's frames around it; its end counts.

    Returns an empty text where there is none, as when the process died.
    """
    if isinstance(error, RayTaskError):
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        text = re.split(r"^.*ray::.*\(pid=.*\n", text, flags=re.MULTILINE)[-1]
    else:
        text = "" if isinstance(error, RayError) else "".join(traceback.format_exception(error))
    return redacted(text.strip())[-_LONGEST_TRACEBACK:]
