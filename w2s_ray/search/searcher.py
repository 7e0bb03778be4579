"""Tune's two ears, both deaf to anything but the study: what to try next, and which student to stop.

Tune's own memory of trials is scratch. `save` and `restore` do nothing, since the study is the memory.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from w2s_ray.search.budget import Allowance
from w2s_ray.search.study import Outcome, Study
from w2s_ray.search.trial import OUTCOME, STEP, UNAVAILABLE, VALUE
from w2s_ray.stages.errors import StoreUnavailableError


class StudySearcher(Searcher):  # type: ignore[misc]
    """Asks the study for trials and tells it how they ended.

    Args:
        study: the sweep's.
        on_end: called with each trial's number and outcome as it ends.
        failures_in_a_row: after so many nothing more is asked, and `gave_up` says why.
        allowance: the sweep's budget, which may say no to a further trial.

    Attributes:
        gave_up: why nothing more is asked; None as long as there may be.
        is_cut_off: whether that is because store or study cannot be written.
    """

    def __init__(
        self, study: Study, on_end: Callable[[int, Outcome], None], failures_in_a_row: int, allowance: Allowance
    ) -> None:
        super().__init__(metric=VALUE, mode="max")
        self._study = study
        self._allowance = allowance
        self._on_end = on_end
        self._most_failures = failures_in_a_row
        self._failures = 0
        self.gave_up: str | None = None
        self.is_cut_off = False
        self.numbers: dict[str, int] = {}
        self.intermediate: dict[str, dict[int, float]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Returns the next experiment, None while results are awaited, FINISHED when nothing is left or allowed."""
        experiment = None
        is_refused = self._study.has_more and self._allowance.refusal() is not None
        with self._giving_up():
            experiment = None if self.gave_up or is_refused else self._study.ask()
        if experiment is None:
            is_over = not self.numbers and (self._study.finished or self.gave_up is not None or is_refused)
            return Searcher.FINISHED if is_over else None
        self.numbers[trial_id] = experiment.number
        self._allowance.begin(trial_id)
        return {"experiment": asdict(experiment)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the study. A trial that ended without an outcome was stopped by the pruner, or its process died."""
        number = self.numbers.pop(trial_id)
        self._allowance.end(trial_id)
        steps = self.intermediate.pop(trial_id, {})
        if result is not None and OUTCOME in result:
            outcome = _outcome(json.loads(result[OUTCOME]))
        elif error:
            outcome = Outcome("failed", intermediate=steps, error="the trial's process died; see Ray's logs")
        else:
            outcome = Outcome("pruned", intermediate=steps)
        if outcome.state == UNAVAILABLE:  # stays open in the study, so that the next driver takes it up
            self.gave_up, self.is_cut_off = f"the store cannot be used: {outcome.error}", True
            return
        with self._giving_up():
            self._study.tell(number, outcome)
        self._failures = self._failures + 1 if outcome.state == "failed" else 0
        if self._failures >= self._most_failures:
            self.gave_up = f"{self._failures} trials failed in a row, the last with {outcome.error}"
        self._on_end(number, outcome)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Stops asking once the study cannot be written, rather than end within Tune's own code."""
        try:
            yield
        except StoreUnavailableError as error:
            self.gave_up, self.is_cut_off = str(error), True

    def report(self, trial_id: str, step: int, value: float) -> bool:
        """Hands a student's validation to the study; returns whether the trial should stop."""
        self.intermediate.setdefault(trial_id, {})[step] = value
        with self._giving_up():
            return self._study.report(self.numbers[trial_id], step, value)
        return False

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles itself for Tuner.restore, which we never use


class StudyPruner(FIFOScheduler):  # type: ignore[misc]
    """Hands each student's validation to the study and stops the trial that Optuna's pruner gives up."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Returns CONTINUE or STOP."""
        if OUTCOME in result:
            return TrialScheduler.CONTINUE  # type: ignore[no-any-return]
        stop = self._searcher.report(trial.trial_id, int(result[STEP]), float(result[VALUE]))
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _outcome(data: dict[str, Any]) -> Outcome:
    return Outcome(
        state=data["state"],
        values=data.get("values", {}),
        intermediate={int(step): value for step, value in data.get("intermediate", {}).items()},
        error=data.get("error"),
        traceback=data.get("traceback") or None,
    )
