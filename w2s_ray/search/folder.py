"""A sweep's folder in the store: its spec and its study."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from w2s_ray.files import from_json, write_whole
from w2s_ray.methods import Experiment
from w2s_ray.search.confirmation import Confirmation, confirmations_in
from w2s_ray.search.history import history_in
from w2s_ray.search.lease import holder
from w2s_ray.search.naming import SPEC, load_names
from w2s_ray.search.place import Place, find_database, load_database
from w2s_ray.search.reading import FINISHED, experiment_of, numbered, read_studies
from w2s_ray.search.record import COMPLETE, FAILED, INTERRUPTED, PRUNED, RUNNING, SweepRecord, TrialRecord
from w2s_ray.search.storage import must_hold, reading_errors
from w2s_ray.search.study import EARLY, Study
from w2s_ray.spec import Sweep, yaml
from w2s_ray.stages.fingerprint import address_of
from w2s_ray.stages.store import Store

_STATES = {
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: FAILED,
    TrialState.RUNNING: RUNNING,
}


class UnknownSweepError(LookupError):
    """The store has no sweep of that name."""


def journal_path(store: Store, name: str) -> Path:
    """Returns the path of the sweep's study, where that is a journal."""
    return store.sweep_folder(name) / "study.journal"


def study_place(store: Store, name: str, storage: str | None = None) -> Place:
    """Returns where the sweep's study is; of a sweep that has none yet, where it will be.

    Args:
        store: where the sweep lives.
        name: of the sweep.
        storage: what its spec says; needed by the driver alone, since the folder keeps it.

    Raises:
        ValueError: what the folder keeps was altered.
    """
    journal, folder = journal_path(store, name), store.sweep_folder(name)
    if load_database(folder) is None and (journal.exists() or load_names(folder)):  # a study stays where it began
        return journal
    return find_database(folder, storage) or journal


def save_spec(store: Store, sweep: Sweep) -> None:
    """Keeps the spec with the study, so that `w2s resume NAME` needs no file; makes the store if it is missing."""
    store.make()
    path = store.sweep_folder(sweep.name) / SPEC
    path.parent.mkdir(parents=True, exist_ok=True)
    store.send_sweep(sweep.name)  # what finds its study is known before the spec is
    write_whole(path, yaml.dump(sweep).encode())
    store.send_sweep(sweep.name)


def load_spec(store: Store, name: str) -> Sweep:
    """Returns the spec kept with the study. Raises UnknownSweepError if there is none."""
    store.fetch_sweep(name)
    path = store.sweep_folder(name) / SPEC
    if not path.is_file():
        known = ", ".join(store.sweeps()) or "none"
        raise UnknownSweepError(f"no sweep {name!r} in {store.uri}; there: {known}. Is --store right?")
    return yaml.load(path)


def load_record(store: Store, sweep: Sweep, *, live: bool = True) -> SweepRecord:
    """Returns the sweep as study and store have it now; may be called while its driver runs.

    Args:
        store: where the sweep lives.
        sweep: its spec.
        live: False once no driver works on it: trials still open are then `interrupted`.

    Raises:
        StoreUnavailableError: the study is gone, or its database away.
        ValueError: what is there cannot be read.
    """
    names = load_names(store.sweep_folder(sweep.name))
    record = read_record(store, sweep, names)
    if not record.trials:
        must_hold(study_place(store, sweep.name), names)
    return record if live else interrupted(record)


def interrupted(record: SweepRecord) -> SweepRecord:
    """Returns the record of a sweep on which no driver works: what is open in its study does not run."""
    trials = tuple(replace(one, state=INTERRUPTED) if one.state == RUNNING else one for one in record.trials)
    return replace(record, trials=trials, live=False)


def as_it_runs(record: SweepRecord) -> SweepRecord:
    """Returns a record as people should see it: after a driver that was killed no trial is called running."""
    if all(trial.state != RUNNING for trial in record.trials):
        return record
    try:
        return record if holder(record.store, record.sweep.name) else interrupted(record)
    except OSError:  # of a store that one may only read, or whose disk has no locks
        return record


def read_record(store: Store, sweep: Sweep, names: Sequence[str]) -> SweepRecord:
    """Returns the sweep as the Optuna studies `names` and the store have it now; without trials if there are none."""
    place = study_place(store, sweep.name)
    with reading_errors(place):
        studies = read_studies(place, names)
        trials = [_trial_record(sweep, number, trial) for number, trial in numbered(studies)]
        attributes = [study.user_attrs for study in studies]
        confirmed = _confirmed(trials, confirmations_in(*attributes))
    return SweepRecord(sweep, confirmed, store, address_of(tuple(names))[:16], history_in(*attributes))


class LiveRecord:
    """The record of a sweep as its driver's study has it, without reading the journal; for one thread, any one.

    A trial that has ended is turned into a record once: with thousands of them all at once would take a second, each
    time that something is to be shown.
    """

    def __init__(self, study: Study, store: Store) -> None:
        self._study, self._store = study, store
        self._fingerprint = address_of(study.names)[:16]
        self._ended: dict[int, TrialRecord] = {}

    def now(self) -> SweepRecord:
        """Returns what `load_record` would."""
        trials = (self._record(number, trial) for number, trial in self._study.trials())
        confirmed = _confirmed(trials, self._study.confirmations())
        return SweepRecord(self._study.sweep, confirmed, self._store, self._fingerprint, self._study.history)

    def _record(self, number: int, trial: FrozenTrial) -> TrialRecord:
        known = self._ended.get(number)
        if known is not None:
            return known
        record = _trial_record(self._study.sweep, number, trial)
        if trial.state in FINISHED:
            self._ended[number] = record
        return record


def experiment_in(trial: TrialRecord) -> Experiment:
    """Returns what a trial tried."""
    return Experiment(trial.number, trial.pairing, trial.method, trial.params, trial.default)


def _confirmed(trials: Iterable[TrialRecord], made: Mapping[int, Confirmation]) -> tuple[TrialRecord, ...]:
    return tuple(replace(one, confirmation=made[one.number]) if one.number in made else one for one in trials)


def _trial_record(sweep: Sweep, number: int, trial: FrozenTrial) -> TrialRecord:
    experiment = experiment_of(sweep, number, trial)
    pairing = sweep.pairing(experiment.pairing)
    stages = from_json(trial.user_attrs.get("stages", "{}"))
    early = None if trial.state in FINISHED else trial.user_attrs.get(EARLY)
    ended = trial.user_attrs if early is None else early
    return TrialRecord(
        number=number,
        pairing=pairing.name,
        weak=pairing.weak,
        strong=pairing.strong,
        method=experiment.method,
        params=experiment.params,
        default=experiment.default,
        state=_STATES[trial.state] if early is None else early["state"],
        values={judge: float(value) for judge, value in ended.get("values", {}).items()},
        intermediate=trial.intermediate_values
        if early is None
        else {int(step): value for step, value in early["intermediate"].items()},
        stages={role: tuple(map(sys.intern, addresses)) for role, addresses in stages.items()},  # most are shared
        started=trial.datetime_start.timestamp() if trial.datetime_start else None,
        finished=trial.datetime_complete.timestamp() if trial.datetime_complete else ended.get("time"),
        error=ended.get("error"),
        traceback=ended.get("traceback"),
    )
