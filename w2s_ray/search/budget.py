"""Whether a sweep's budget allows one more trial.

A trial is taken to cost what those that ended did on average, shared stages included; one more may be asked for if
that is left for it and for every open one. By the clock a trial is taken to last as long as their median, since one
that was open while no driver ran looks longer than it was. So what was asked for ends within the budget, but for
trials that take longer than usual and for the first `parallelism`, before which nothing is known. The answer may
change while trials run: as shared stages are spread over more of them, a trial gets cheaper.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from statistics import median

from w2s_ray.spec.budget import Budget, deadline_after
from w2s_ray.stages.spent import Meter, Used

_Bound = tuple[str, float, float]  # words for its unit, used, at most


class Allowance:
    """A sweep's budget while its driver works.

    Args:
        budget: of the spec; None allows all.
        meter: of what its stages use.
        started: when the sweep was first started, in seconds since the epoch.
        before: seconds that each trial lasted which has ended before, under any driver.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        budget: Budget | None,
        meter: Meter,
        started: float,
        before: Iterable[float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._budget, self._meter, self._started, self._clock = budget, meter, started, clock
        self._begun: dict[str, float] = {}
        self._durations = list(before)

    def begin(self, trial: str) -> None:
        """Takes note that a trial was asked for."""
        self._begun[trial] = self._clock()

    def end(self, trial: str) -> None:
        """Takes note that a trial has ended."""
        self._durations.append(self._clock() - self._begun.pop(trial))

    def refusal(self) -> str | None:
        """Returns why no further trial may begin now; None if one may."""
        if self._budget is None:
            return None
        now = self._clock()
        used, more, ended = self._meter.used(now), len(self._begun) + 1, len(self._durations)
        for unit, spent, most in _bounds(self._budget, used):
            each = spent / ended if ended else 0.0
            if spent >= most or spent + more * each > most:
                return f"{_amount(spent)} of {_amount(most)} {unit} are used, and a trial takes about {_amount(each)}"
        return self._refusal_by_time(self._budget.deadline, now)

    def _refusal_by_time(self, deadline: str | None, now: float) -> str | None:
        if deadline is None:
            return None
        end = _moment(deadline, self._started)
        each = median(self._durations) if self._durations else 0.0
        if now + each < end.timestamp():
            return None
        return f"the deadline is {end.isoformat(timespec='minutes')}, and a trial takes about {each:.0f} s"


def account(budget: Budget, used: Used, started: float | None) -> str:
    """Returns how much of a budget is used, as people read it."""
    parts = [f"{_amount(spent)} of {_amount(most)} {unit} used" for unit, spent, most in _bounds(budget, used)]
    if budget.deadline is not None:
        end = budget.deadline if started is None else _moment(budget.deadline, started).isoformat(timespec="minutes")
        parts.append(f"deadline {end}")
    return "; ".join(parts)


def _bounds(budget: Budget, used: Used) -> list[_Bound]:
    found: list[_Bound] = []
    if budget.max_gpu_hours is not None:
        found.append(("GPU-hours", used.gpu_hours, budget.max_gpu_hours))
    if budget.max_cpu_hours is not None:
        found.append(("CPU-hours", used.cpu_hours, budget.max_cpu_hours))
    if budget.max_cost is not None and budget.price is not None:
        cost = used.cpu_hours * budget.price.cpu + used.gpu_hours * budget.price.gpu
        found.append(("of cost", cost, budget.max_cost))
    return found


def _moment(deadline: str, started: float) -> datetime:
    return deadline_after(deadline, datetime.fromtimestamp(started, tz=timezone.utc))


def _amount(value: float) -> str:
    return f"{value:.3g}"
