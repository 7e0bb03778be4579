"""A sweep's record written to MLflow: its run, a run per trained stage, a run per trial.

Written by one process, the driver or `w2s track`. Any number of updates with any interruptions leave the same runs as
one update with the last record. A stage that is stored and a trial that has ended cannot change, so within one
projection they are looked at once.
"""

from collections.abc import Iterator
from pathlib import Path

from w2s_ray.search.record import SweepRecord, TrialRecord
from w2s_ray.tracking.artifacts import answer_of, page_of, put_predictions, put_report, put_spec
from w2s_ray.tracking.client import connect
from w2s_ray.tracking.datasets import datasets_of
from w2s_ray.tracking.location import artifact_root, tracking_uri
from w2s_ray.tracking.planned import Dataset
from w2s_ray.tracking.runs import Runs
from w2s_ray.tracking.stage_run import Owner, stage_run
from w2s_ray.tracking.sweep_run import is_complete, sweep_key, sweep_run
from w2s_ray.tracking.trial_run import OPEN, trial_run
from w2s_ray.tracking.view import experiment_tags, places


class Projection:
    """The runs of one sweep. Costs nothing to construct; not for use by two threads at once.

    Args:
        uri: of MLflow, as `tracking_uri` gives it.
        name: of the sweep, and so of the experiment.
        history: of the sweep; empty if it is not known.
        artifacts: where a new experiment's artifacts go, as `artifact_root` gives it.
    """

    def __init__(self, uri: str, name: str, history: str, artifacts: str | None = None) -> None:
        self._uri, self._name, self._history, self._artifacts = uri, name, history, artifacts
        self._runs: Runs | None = None
        self._parent: str | None = None
        self._stages: set[str] = set()
        self._trials: dict[int, TrialRecord] = {}
        self._inputs: tuple[Dataset, ...] = ()
        self._tags: dict[str, str] = {}  # of the experiment

    def open(self) -> None:
        """Connects, makes what is missing and looks up which runs are there. `update` does it when it has to."""
        if self._runs is None:
            self._client = connect(self._uri)
            self._runs = self._look_up()

    def update(self, record: SweepRecord, report: Path | None = None) -> None:
        """Makes MLflow show the record, and what the report in a folder answers once the sweep is complete.

        Raises what mlflow raises; the next update then goes on from what is there.
        """
        try:
            self.open()
            if record.trials:
                self._update(record, report if is_complete(record) else None)
        except BaseException:
            self._forget()
            raise

    def log_artifacts(self, record: SweepRecord, report: Path | None) -> None:
        """Puts spec, predictions and the files of the report's folder onto the sweep's run. Comes after an update.

        What has not changed is left alone.
        """
        if self._runs is None or self._parent is None:
            raise RuntimeError("log_artifacts comes after an update with a trial in it")
        try:
            put_spec(self._client, self._runs, self._parent, record)
            put_predictions(self._client, self._runs, self._parent, record)
            if report is not None and report.is_dir():
                put_report(self._client, self._runs, self._parent, report)
        except BaseException:
            self._forget()
            raise

    def _update(self, record: SweepRecord, report: Path | None) -> None:
        assert self._runs is not None
        # The sweep's run is made first, since the others name it, and filled last, when they are there.
        parent = self._runs.find(sweep_key(record.study)) or self._runs.find_or_create(sweep_run(record, record.study))
        if parent != self._parent:
            if self._parent is not None:  # all name the old one, and are written again
                self._runs = self._look_up()
            self._parent, self._stages, self._trials, self._tags = parent, set(), {}, {}
        there = places(self._runs.experiment, parent, page_of(report) if report else None)
        answer = answer_of(report) if report else ""
        self._describe(experiment_tags(record, there, answer))
        self._inputs = self._inputs or datasets_of(record)  # a study has one task
        for address, owner in _trained(record):
            self._write_stage(record, address, owner)
        for trial in record.trials:
            known = self._trials.get(trial.number)
            if known is not trial and known != trial:  # the driver gives the same record of what has ended
                self._runs.write(trial_run(record, trial, record.study), parent)
                if trial.state not in OPEN:
                    self._trials[trial.number] = trial
        whole = sweep_run(record, record.study, there, answer, self._inputs)
        if self._runs.write(whole) != parent:  # it had to be replaced, and the others name the old one
            self._update(record, report)

    def _look_up(self) -> Runs:
        return Runs(self._client, self._name, self._history, self._artifacts)

    def _describe(self, tags: dict[str, str]) -> None:
        if tags != self._tags:
            assert self._runs is not None
            self._runs.describe(tags)
            self._tags = tags

    def _write_stage(self, record: SweepRecord, address: str, owner: Owner) -> None:
        assert self._runs is not None
        stored = record.store.read(address) if address not in self._stages else None
        if stored is not None:
            run = stage_run(stored, owner)
            self._runs.write(run, self._parent)
            self._runs.let_go(run.key)  # with thousands of trials they are most of what is known
            self._stages.add(address)

    def _forget(self) -> None:
        """After an error nobody knows what arrived, so everything is looked up again."""
        self._runs, self._parent, self._stages, self._trials, self._inputs = None, None, set(), {}, ()
        self._tags = {}


def project(record: SweepRecord, report: Path | None = None) -> str:
    """Projects a sweep now, with the folder of its report if there is one; returns the URI. Raises as mlflow does."""
    uri = tracking_uri(record.sweep, record.store)
    projection = Projection(uri, record.sweep.name, record.history, artifact_root(uri, record.store))
    projection.update(record, report)
    if record.trials:
        projection.log_artifacts(record, report)
    return uri


def _trained(record: SweepRecord) -> Iterator[tuple[str, Owner]]:
    """Yields the addresses of all trials' and confirmations' stages, each once, with whom it was made for first."""
    seen: set[str] = set()
    for trial in record.trials:
        for role, addresses in (item for graph in trial.graphs for item in graph.items()):
            for address in addresses:
                if address not in seen:
                    seen.add(address)
                    yield address, Owner(role, trial)
