"""`run` and `resume` are the same act: look at what study and store hold, do the rest.

The driver holds the sweep's lease, is the only one that writes study and MLflow, and can be killed at any moment. Ray
is started only if something is left to do.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from w2s_ray import tasks
from w2s_ray.assets import locate
from w2s_ray.methods import Parts, plan_stages
from w2s_ray.search.at_work import at_work
from w2s_ray.search.beginning import begin
from w2s_ray.search.budget import Allowance
from w2s_ray.search.errors import SweepFailedError
from w2s_ray.search.fitting import fitted_to_this_machine, with_absolute_paths
from w2s_ray.search.folder import LiveRecord, load_record
from w2s_ray.search.fresh_seeds import confirm, unconfirmed
from w2s_ray.search.lease import lease
from w2s_ray.search.plan import make_plan
from w2s_ray.search.progress import Progress
from w2s_ray.search.reading import FINISHED
from w2s_ray.search.record import SweepRecord
from w2s_ray.search.reported import reported
from w2s_ray.search.rounds import run_rounds
from w2s_ray.search.sending import sent
from w2s_ray.search.signals import Leaving, orderly_interrupts
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep
from w2s_ray.stages.collect import tidy
from w2s_ray.stages.errors import store_errors
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.spent import Meter
from w2s_ray.stages.stage import walk
from w2s_ray.stages.store import Store
from w2s_ray.tracking import BackgroundTracker, tracking_uri
from w2s_ray.tracking.location import default_uri

_log = logging.getLogger("w2s_ray.search")
_LAST_PROJECTION_SECONDS = 60.0
_LEAVING_PROJECTION_SECONDS = 8.0  # after Ctrl-C, when half a minute is all there is


def run(
    sweep: Sweep, *, progress: Progress | None = None, warm_start: str | None = None, take_over: bool = False
) -> SweepRecord:
    """Runs what is left of a sweep and writes its report; what is finished is not done again.

    Args:
        sweep: what to search; its `store` says where everything lives.
        progress: shows what happens; by default plain lines, or a live display on a terminal.
        warm_start: name of another sweep in the store whose compatible trials a new study begins with.
        take_over: ends another driver of the sweep first, if it runs on this machine.

    Returns:
        The sweep as study and store hold it at the end.

    Raises:
        SpecError: a stage asks for more than this machine has, or the sweep for what a store in a bucket cannot give.
        SweepInUseError: another driver works on it.
        AssetError: a pretrained model or dataset cannot be had.
        SweepFailedError: too many trials failed in a row, or the store is full or gone.
        StoreUnavailableError: the latter, while the study is opened or the winners are confirmed.
        KeyboardInterrupt: Ctrl-C or SIGTERM; checkpoints are saved, and the same call carries on.
    """
    progress = progress or Progress()
    sweep = with_absolute_paths(sweep)
    if not os.environ.get("RAY_ADDRESS"):
        sweep = fitted_to_this_machine(sweep)
    parts, store = Parts(sweep), open_store(sweep.store)
    stopping = "[yellow]stopping[/yellow]: saving checkpoints; again to stop now"
    with (
        orderly_interrupts(lambda: progress.say(stopping)) as leaving,
        lease(store, sweep.name, take_over=take_over) as be_sure,
    ):
        study = begin(parts, store, progress, warm_start, be_sure)
        live = LiveRecord(study, store)
        progress.plan(make_plan(sweep, store))
        allowance = _allowance(sweep, store, study)
        with sent(store, sweep.name, be_sure), _tracking(study, store, leaving, be_sure) as tracker:
            if allowance.refusal() is None and (not study.finished or unconfirmed(live.now())):
                _fetch_assets(parts, store)
                _search(parts, store, study, live, progress, tracker, allowance, leaving)
            with store_errors(store.root, "tidying up"):
                tidy(store)
            record = load_record(store, sweep, live=False)  # a budget may leave trials of a dead driver open
            _say_what_is_left_out(record, study, allowance, progress)
            tracker.close(record, reported(parts, record, progress, leaving))
        return record


def _allowance(sweep: Sweep, store: Store, study: Study) -> Allowance:
    lasted = [trial.duration or timedelta() for _, trial in study.trials() if trial.state in FINISHED]
    started = time.time() if study.started is None else study.started
    return Allowance(sweep.search.budget, Meter(store, sweep.name), started, [one.total_seconds() for one in lasted])


def _say_what_is_left_out(record: SweepRecord, study: Study, allowance: Allowance, progress: Progress) -> None:
    refusal = None if study.finished else allowance.refusal()
    if refusal is None:
        return
    trials = record.sweep.search.trials
    left = trials - record.ended
    progress.say(
        f"[yellow]budget[/yellow]: {left} of {trials} trials are left out: {refusal}. "
        "A larger search.budget and the same command carry on"
    )


def _fetch_assets(parts: Parts, store: Store) -> None:
    """Downloads what unfinished stages read, before Ray starts, so that progress and errors are seen at once."""
    fresh = plan_stages(parts.with_fresh_seeds()) if parts.sweep.search.confirm else []
    planned = list(walk(*plan_stages(parts), *fresh))
    stored = store.read_all(stage.address for stage in planned)
    missing = [stage for stage in planned if stored[stage.address] is None]
    sources = (
        (one.execution.source, one.execution.revision, one.kind != "examples")
        for one in missing
        if one.execution.source
    )
    for source, revision, is_model in dict.fromkeys(sources):
        locate(source, revision) if is_model else tasks.prefetch(source, revision)
    for test_source in {one.execution.test_source for one in missing} - {None}:
        tasks.prefetch(str(test_source), parts.sweep.task.revision)


def _search(
    parts: Parts,
    store: Store,
    study: Study,
    live: LiveRecord,
    progress: Progress,
    tracker: BackgroundTracker,
    allowance: Allowance,
    leaving: Leaving,
) -> None:
    """Runs Tune until enough trials have finished, or the sweep's budget allows no more; then confirms the winners."""
    sweep = parts.sweep
    with at_work(sweep, store, progress, leaving, study.left) as broker:
        from w2s_ray.search.searcher import StudySearcher

        def on_end(number: int, outcome: Outcome) -> None:
            broker.release.remote(number)
            progress.examples(store, parts.examples.address)
            progress.trial(number, outcome, study)
            tracker.offer(live.now)

        searcher = StudySearcher(study, on_end, sweep.search.failures_in_a_row, allowance)

        def is_over() -> bool:
            return bool(study.finished or searcher.gave_up or allowance.refusal())

        run_rounds(sweep, store, broker, searcher, is_over)
        if study.finished and not searcher.gave_up:
            confirm(live, study, broker, progress)
        if not searcher.is_cut_off:
            study.show_early()
        if searcher.gave_up:
            raise SweepFailedError(searcher.gave_up)


@contextmanager
def _tracking(study: Study, store: Store, leaving: Leaving, be_sure: Callable[[], None]) -> Iterator[BackgroundTracker]:
    """Shows the sweep in MLflow beside the block. However that ends, nothing is shown as running that does not run."""
    sweep = study.sweep
    if isinstance(store, ObjectStore) and tracking_uri(sweep, store) == default_uri(store):
        _log.warning("MLflow's sqlite file cannot be in %s; it is in %s, on this machine", store.uri, store.root)
    tracker = BackgroundTracker(tracking_uri(sweep, store), sweep, store, study.history)
    try:
        yield tracker
    except BaseException:
        most = _LAST_PROJECTION_SECONDS if leaving.began is None else _LEAVING_PROJECTION_SECONDS
        with contextlib.suppress(Exception):  # what cannot be read now, or is another driver's, is shown later
            be_sure()
            tracker.close(load_record(store, sweep, live=False), timeout=leaving.seconds(most))
        tracker.stop(timeout=0.0)
        raise
