"""A sweep's report. What it finds missing or damaged in the store is made again first."""

from collections.abc import Iterator
from pathlib import Path

from w2s_ray.methods import Parts, stages_of
from w2s_ray.report import write_report
from w2s_ray.search.at_work import at_work
from w2s_ray.search.errors import SweepFailedError
from w2s_ray.search.folder import experiment_in
from w2s_ray.search.fresh_seeds import error_of
from w2s_ray.search.progress import Progress
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord
from w2s_ray.search.signals import Leaving
from w2s_ray.stages.again import read_or_make
from w2s_ray.stages.artifacts import CURVE, PREDICTIONS
from w2s_ray.stages.errors import MissingStageError, store_errors
from w2s_ray.stages.stage import Stage, walk

_AGAIN = 2  # making the same stage, for a report that finds it damaged again and again


def reported(parts: Parts, record: SweepRecord, progress: Progress, leaving: Leaving) -> Path:
    """Writes the report and returns its folder. What it finds missing or damaged is made again, a few times at most."""
    lost = set[str]()

    def write() -> Path:
        try:
            with store_errors(record.store.root, "writing the report"):
                return write_report(record, record.store.sweep_folder(record.sweep.name) / "report")
        except MissingStageError as error:
            lost.add(error.address)
            raise

    def make() -> None:
        lost.update(_damaged(record))
        _make_missing(parts, record, progress, leaving, lost)

    _make_missing(parts, record, progress, leaving, lost)
    return read_or_make(write, make, _AGAIN)


def _damaged(record: SweepRecord) -> set[str]:
    """Returns the stages whose files for the report are damaged, and puts them aside.

    Where one file is, usually others are, and so all are made again at once.
    """
    found = set()
    for address, stored in record.store.read_all(record.wanted()).items():
        for name in (PREDICTIONS, CURVE):
            if stored and name in stored.record.files:
                try:
                    stored.file(name)
                except MissingStageError:
                    found.add(address)
    return found


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
