"""`run` and `resume` are the same act: look at what study and store hold, do the rest.

The driver holds the sweep's lease, is the only one that writes study and MLflow, and can be killed at any moment. Ray
is started only if something is left to do.
"""

import contextlib
import gc
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from w2s_ray import tasks
from w2s_ray.assets import locate
from w2s_ray.methods import Parts, plan_stages, stages_of
from w2s_ray.report import write_report
from w2s_ray.search.at_work import at_work
from w2s_ray.search.budget import Allowance
from w2s_ray.search.fitting import fitted_to_this_machine, with_absolute_paths
from w2s_ray.search.folder import LiveRecord, experiment_in, load_record, load_spec, save_spec, study_place
from w2s_ray.search.fresh_seeds import confirm, error_of, unconfirmed
from w2s_ray.search.in_bucket import must_suit
from w2s_ray.search.known_stores import remember
from w2s_ray.search.lease import lease
from w2s_ray.search.naming import load_names
from w2s_ray.search.place import ENVIRONMENT, study_url
from w2s_ray.search.plan import make_plan
from w2s_ray.search.progress import Progress
from w2s_ray.search.reading import FINISHED
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord
from w2s_ray.search.sending import sent
from w2s_ray.search.signals import Leaving, orderly_interrupts
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep
from w2s_ray.stages.artifacts import CURVE, PREDICTIONS
from w2s_ray.stages.collect import tidy
from w2s_ray.stages.errors import MissingStageError, cause_of, store_errors
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.spent import Meter
from w2s_ray.stages.stage import Stage, walk
from w2s_ray.stages.store import Store
from w2s_ray.tracking import BackgroundTracker, tracking_uri
from w2s_ray.tracking.location import default_uri

_log = logging.getLogger("w2s_ray.search")
_LAST_PROJECTION_SECONDS = 60.0
_LEAVING_PROJECTION_SECONDS = 8.0  # after Ctrl-C, when half a minute is all there is
_TRIES = 3  # to write a report whose stages are damaged again and again
_PROCESS_DEATHS = 10  # of one trial's thin actor: it holds nothing, so it is simply started again


class SweepFailedError(RuntimeError):
    """The sweep was stopped: its trials failed one after another, or the store is full or gone."""


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
        study = _begin(parts, store, progress, warm_start, be_sure)
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
            tracker.close(record, _reported(parts, record, progress, leaving))
        return record


def _begin(
    parts: Parts, store: Store, progress: Progress, warm_start: str | None, be_sure: Callable[[], None]
) -> Study:
    """Opens the study, then keeps the spec: what refuses the run leaves the sweep as it was, and a kill whole."""
    sweep = parts.sweep
    with store_errors(store.root, "opening the study"):
        must_suit(store, sweep)
        study = _open_study(parts, store, progress, warm_start, be_sure)
        save_spec(store, sweep)
        remember(store)
        shutil.rmtree(_scratch(store, sweep.name), ignore_errors=True)  # of a driver that was killed
    return study


def _open_study(
    parts: Parts, store: Store, progress: Progress, warm_start: str | None, be_sure: Callable[[], None]
) -> Study:
    sweep = parts.sweep
    if warm_start and not load_names(store.sweep_folder(warm_start)):
        raise ValueError(f"no sweep {warm_start!r} to start from in {store.uri}; there: {', '.join(store.sweeps())}")
    other = (study_place(store, warm_start), warm_start) if warm_start else None
    had_one = bool(load_names(store.sweep_folder(sweep.name)))
    place = study_place(store, sweep.name, sweep.search.storage)
    if isinstance(place, Path) and study_url(sweep.search.storage):
        progress.say(f"the study stays in the journal it began in; {ENVIRONMENT} and search.storage are for new ones")
    study = Study(parts, place, other, be_sure)
    if warm_start and not study.is_new:
        progress.say(
            f"{sweep.name} goes on with its own study; --warm-start is for new ones, and {warm_start} is not read"
        )
    if study.is_new and (had_one or other):
        progress.say(
            f"the spec begins a new study{_why(store, sweep)}: {study.seeded} finished trials mean the same in it and "
            f"come first, {study.left_aside} do not and stay aside with the old one"
        )
    return study


def _why(store: Store, sweep: Sweep) -> str:
    """Returns which parts of the spec that is still kept are others in the new one; empty where there is none."""
    with contextlib.suppress(ValueError, LookupError):
        old = load_spec(store, sweep.name)
        searched = ("task", "models", "pairings", "methods", "space", "seeds", "objective")
        changed = [part for part in searched if getattr(old, part) != getattr(sweep, part)]
        return f", since {' and '.join(changed) or 'a file that it names'} changed"
    return ""


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
        scratch = _scratch(store, sweep.name)
        try:
            while not (study.finished or searcher.gave_up or allowance.refusal()):
                _fit(_tuner(sweep, store, broker, searcher, scratch), store)
                shutil.rmtree(scratch, ignore_errors=True)
                gc.collect()  # Tune leaves circles, which Python looks for ever more seldom as memory grows
            if study.finished and not searcher.gave_up:
                confirm(live, study, broker, progress)
            if not searcher.is_cut_off:
                study.show_early()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if searcher.gave_up:
            raise SweepFailedError(searcher.gave_up)


def _scratch(store: Store, name: str) -> Path:
    return store.root / "work" / f"tune-{name}"


def _tuner(sweep: Sweep, store: Store, broker: Any, searcher: Any, scratch: Path) -> Any:
    import ray
    from ray import tune
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    from w2s_ray.search.searcher import StudyPruner
    from w2s_ray.search.trial import trial_function

    parallelism = sweep.search.parallelism
    # Tune sends the driver's credentials along with each trial, and Ray writes them into its logs.
    ENV_VARS_TO_PROPAGATE.difference_update(name for name in list(ENV_VARS_TO_PROPAGATE) if name.startswith("AWS_"))
    # A byte of memory: Tune wants a resource, and any CPU it got would be taken from the stages. On the driver's node:
    # an actor elsewhere would keep its node from ever being idle.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    thin = tune.PlacementGroupFactory([{"memory": 1}], bundle_label_selector=[here])
    return tune.Tuner(
        tune.with_resources(trial_function(sweep, store, broker), thin),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=StudyPruner(searcher),
            num_samples=_trials_a_round(parallelism),
            max_concurrent_trials=parallelism,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=_PROCESS_DEATHS),
            verbose=0,
        ),
    )


def _trials_a_round(parallelism: int) -> int:
    """Returns after how many trials Tune is begun anew, since it keeps some 70 kB of each it has seen.

    At the end of a round the last trials run alone, and a new one starts its processes: over thirty times as many as
    run at once, that is little.
    """
    return max(100, 32 * parallelism)


def _fit(tuner: Any, store: Store) -> None:
    """Runs Tune. A study that cannot be written is the store's trouble; Tune would wrap it, and log its own with it."""
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)  # Tune's state is scratch
    with store_errors(store.root, "writing the study"):
        try:
            tuner.fit()
        except Exception as error:
            plain = cause_of(error, OSError)
            if plain is None:
                raise
            raise plain from None


def _reported(parts: Parts, record: SweepRecord, progress: Progress, leaving: Leaving) -> Path:
    """Writes the report and returns its folder. What it finds missing or damaged is made again, a few times at most."""
    folder, lost = record.store.sweep_folder(record.sweep.name) / "report", Counter[str]()
    while True:
        _make_missing(parts, record, progress, leaving, set(lost))
        try:
            with store_errors(record.store.root, "writing the report"):
                return write_report(record, folder)
        except MissingStageError as error:
            lost[error.address] += 1
            if lost[error.address] == _TRIES:
                raise
            _look_into_all(record)


def _look_into_all(record: SweepRecord) -> None:
    """Has what the report reads put aside where it is damaged: seldom is only one file, and all are made in one go."""
    for stored in record.store.read_all(record.wanted()).values():
        for name in (PREDICTIONS, CURVE):
            with contextlib.suppress(MissingStageError):
                if stored and name in stored.record.files:
                    stored.file(name)


def _make_missing(parts: Parts, record: SweepRecord, progress: Progress, leaving: Leaving, lost: set[str]) -> None:
    """Makes again what finished trials refer to, or is `lost`, and is not in the store or was put aside as damaged."""
    complete = [trial for trial in record.trials if trial.state == COMPLETE]
    wanted = {address for trial in complete for of_role in trial.stages.values() for address in of_role} | lost
    missing = {address for address, stored in record.store.read_all(wanted).items() if stored is None}
    if not missing:
        return
    stages = {stage.address: stage for stage in walk(*_stages_of(parts, complete))}
    progress.say(f"{len(missing)} stages of finished trials are not in the store any more; making them again")
    with at_work(parts.sweep, record.store, progress, leaving, 0) as broker:
        error = error_of([broker.produce.remote(stages[address], -1) for address in missing if address in stages])
    if error is not None:
        raise SweepFailedError(f"what a finished trial lost cannot be made again: {error}")


def _stages_of(parts: Parts, trials: list[TrialRecord]) -> Iterator[Stage]:
    """Yields the stages of finished trials, and of the confirmations that they may have."""
    fresh = [parts.with_fresh_seeds()] if parts.sweep.search.confirm else []
    for seeded in (parts, *fresh):
        for trial in trials:
            yield from (stage for of_role in stages_of(seeded, experiment_in(trial)).values() for stage in of_role)


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
