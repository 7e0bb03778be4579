"""`w2s run` and `w2s resume`: one sweep, or the sweeps of a file in their order, and how each may end."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from w2s_ray.commands.saying import console, fail
from w2s_ray.search.signals import INTERRUPTED, orderly_interrupts
from w2s_ray.secrets import redacted
from w2s_ray.spec.several import Several
from w2s_ray.stages.open import open_store


@contextmanager
def interruptible() -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM before and after the driver listens for them.

    Typer would end without a word before, and Python with a traceback while it closes down a finished run.
    """
    with orderly_interrupts(lambda: None):
        try:
            yield
        except KeyboardInterrupt:
            _leave("interrupted before the sweep was opened; the same command starts or resumes it")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _leave(message: str) -> NoReturn:
    """Says how to carry on and ends the process at once, all being saved.

    The thread that projects to MLflow may still import it, and Python's own end would wait for that, or break on it.
    """
    print(f"w2s: {message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED)


def run_sweeps(several: Several, warm_start: str | None, take_over: bool) -> None:
    """Runs what is left and prints the answer; ends the command with how to carry on where that fails."""
    if not several.is_one:
        return _run_several(several, take_over)
    sweep = several.sweeps[0]
    from w2s_ray.report import answers, print_report
    from w2s_ray.search.driver import run as run_sweep
    from w2s_ray.search.errors import SweepFailedError
    from w2s_ray.search.resuming import resume_command
    from w2s_ray.search.session import RayStartError

    again = resume_command(sweep.name, open_store(sweep.store).uri)
    try:
        print_report(answers(run_sweep(sweep, warm_start=warm_start, take_over=take_over)), console())
    except KeyboardInterrupt:
        _leave(f"interrupted; carry on with: {again}")
    except RayStartError as error:
        fail(f"{error}; carry on with: {again}", 1)
    except SweepFailedError as error:
        fail(f"{error}; mend the cause and run again, or see: w2s status {sweep.name}", 1)


def _run_several(several: Several, take_over: bool) -> None:
    """Runs the sweeps of a file in their order, each with its report, and then tells what came out over all."""
    from w2s_ray.report import Report, answers, print_report
    from w2s_ray.report.across import across, print_across
    from w2s_ray.search.in_order import run_in_order
    from w2s_ray.search.resuming import resume_command
    from w2s_ray.search.session import RayStartError

    again = resume_command(several.name, open_store(several.sweeps[0].store).uri)
    reports, failed = list[Report](), list[str]()
    try:
        for sweep, ended in run_in_order(several, take_over=take_over):
            if isinstance(ended, Exception):
                failed.append(sweep.name)
                print(redacted(f"w2s: {sweep.name}: {ended}"), file=sys.stderr)
            else:
                reports.append(answers(ended))
                print_report(reports[-1], console())
    except KeyboardInterrupt:
        _leave(f"interrupted; carry on with: {again}")
    except RayStartError as error:
        fail(f"{error}; carry on with: {again}", 1)
    print_across(across(reports), console())
    if failed:
        fail(f"{len(failed)} of {len(several.sweeps)} failed: {', '.join(failed)}; mend the cause and: {again}", 1)
