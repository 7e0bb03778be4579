"""What people see while a sweep runs: a live line on a terminal, plain lines in a log.

A trial's line appears when it ends; the live line shows how many ended, which stages run now, and an estimate of the
rest from the trials so far.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.plan import Plan
from w2s_ray.search.record import TrialRecord
from w2s_ray.search.study import Outcome, Study
from w2s_ray.secrets import redacted
from w2s_ray.stages.store import Store
from w2s_ray.tasks.clean import in_words
from w2s_ray.units import in_time

_REFRESH_SECONDS = 1.0
_PLAIN_SECONDS = 20.0


class Progress:
    """Writes to standard error, so that standard output stays clean for results.

    Args:
        console: where to; by default standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._start = time.monotonic()
        self._ends: list[float] = []
        self._left = 0
        self._told_of_rows = False
        self._confirming = ""

    def say(self, text: str) -> None:
        """Writes one line."""
        self._console.print(f"[dim]{self._clock()}[/dim] {redacted(text)}")

    def plan(self, plan: Plan) -> None:
        """Shows the plan in a line."""
        saved = plan.without_sharing - plan.with_sharing
        estimate = f", about {in_time(plan.seconds)} of CPU time" if plan.seconds and plan.to_run else ""
        self.say(
            f"sweep [bold]{plan.sweep}[/bold]: {plan.trials} trials; {plan.stored} stages stored, {plan.to_run} to run"
            f"{estimate}; sharing saves {saved} of {plan.without_sharing} trainings"
        )
        if plan.to_confirm:
            self.say(f"confirm: {plan.confirm_text}")
        if plan.warning:
            self.say(f"[yellow]warning[/yellow]: {plan.warning}")

    def examples(self, store: Store, address: str) -> None:
        """Shows which rows of the data were unfit, once they are known."""
        stored = None if self._told_of_rows else store.read(address)
        if stored is None:
            return
        self._told_of_rows = True
        left_out = in_words(stored.record.summary)
        if left_out:
            self.say(f"[yellow]data[/yellow]: {escape(left_out)}")

    def trial(self, number: int, outcome: Outcome, study: Study) -> None:
        """Shows how a trial ended."""
        self._ends.append(time.monotonic())
        experiment = study.experiment(number)
        settings = " ".join(f"{name}={_short(value)}" for name, value in experiment.params.items())
        result = outcome.error or " ".join(f"{judge} {value:.4f}" for judge, value in outcome.values.items())
        mark = {"complete": "green", "pruned": "yellow", "failed": "red"}[outcome.state]
        kind = "default" if experiment.default else "searched"
        self.say(
            f"trial {number:04d} [{mark}]{outcome.state}[/{mark}] {experiment.method} {experiment.pairing} "
            f"({kind}) {escape(settings)}: {escape(result)}"
        )

    def confirming(self, trials: Sequence[TrialRecord], seeds: Sequence[int]) -> None:
        """Shows that the search is over and which trials are trained again."""
        numbers, fresh = (", ".join(map(str, some)) for some in ([trial.number for trial in trials], seeds))
        self._confirming = f"confirming trial{'s' if len(trials) > 1 else ''} {numbers} with fresh seeds {fresh}"
        self.say(self._confirming)

    def confirmed(self, trial: TrialRecord, made: Confirmation) -> None:
        """Shows how a confirmation ended."""
        mark = "red" if made.error else "green"
        why = f": {escape(made.error)}" if made.error else ""
        self.say(f"trial {trial.number:04d} confirmation [{mark}]{made.state}[/{mark}] {trial.pairing}{why}")

    @contextmanager
    def watching(self, running: Callable[[], list[str]], left: int) -> Iterator[None]:
        """Shows what runs while the block does: a live line on a terminal, else a line now and then."""
        self._left, self._ends = left, []
        over = threading.Event()
        live = Live(console=self._console, transient=True, auto_refresh=False) if self._console.is_terminal else None
        thread = threading.Thread(target=self._watch, args=(live, running, over), daemon=True)
        thread.start()
        try:
            with live or nullcontext():
                yield
        finally:
            over.set()
            # To its end, at most the ten seconds that it waits for an answer: Ray's core ends a process in which
            # anything asks it after it was shut down, and the next sweep of a file, or the report, would never come.
            thread.join()

    def _watch(self, live: Live | None, running: Callable[[], list[str]], over: threading.Event) -> None:
        while not over.wait(_REFRESH_SECONDS if live else _PLAIN_SECONDS):
            text = self._now(running())
            if live:
                live.update(Text(f"{self._clock()} {text}"), refresh=True)
            else:
                self.say(escape(text))

    def _now(self, stages: list[str]) -> str:
        ended, estimate = len(self._ends), ""
        if ended > 1:  # before the first end lies work that the other trials share
            each = (time.monotonic() - self._ends[0]) / (ended - 1)
            estimate = f", {in_time(each * (self._left - ended))} left"
        shown = ", ".join(stages[:3]) + (f" and {len(stages) - 3} more" if len(stages) > 3 else "")
        nothing = "nothing more" if 0 < self._left <= ended and not self._confirming else "nothing yet"
        counted = f"{ended} of {self._left} trials ended{estimate}" if self._left else "all trials ended"
        doing = self._confirming or counted
        return f"{doing}; running: {shown or nothing}"

    def _clock(self) -> str:
        return f"{time.monotonic() - self._start:6.1f} s"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
