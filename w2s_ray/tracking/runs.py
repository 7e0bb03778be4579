"""The runs of one MLflow experiment, found by their keys and written until they are as planned.

A run is created with its key, and gets its digest and then its status last. So one without the planned digest and
status was not finished, or has changed, and is written again; what it already holds of a metric is not logged twice.
Most runs have ended when they are first seen; of them the status alone comes last, since a tag costs 2 ms. MLflow lets
neither params nor points be taken back: a run in which one is wrong is deleted and made anew. So is the second of two
runs of one key, which two writers at once, or a server that answered too late, can leave behind.

Sweeps of one name of two stores share an experiment, so a run also carries its sweep's *history*, and runs of another
one are not touched. A run that has none, of a version before or of a study whose history is not known, is told by the
time of its start: to the millisecond no two stores have it in common.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from w2s_ray.tracking.planned import HISTORY, RUNNING, Dataset, PlannedRun, Point
from w2s_ray.tracking.view import beside_others

KEY, DIGEST, REPLACED, PARENT = "w2s.key", "w2s.digest", "w2s.replaced", "mlflow.parentRunId"

_PAGE = 1000
_MOST_METRICS, _MOST_OTHERS = 800, 100  # MLflow takes 1,000 metrics, 100 params, 100 tags and 1,000 of all at once


@dataclass(slots=True)
class _Content:
    """The params, points and data sets that a run holds."""

    params: Mapping[str, str] = field(default_factory=dict)
    points: set[Point] = field(default_factory=set)
    inputs: set[tuple[str, str]] = field(default_factory=set)  # name and digest


@dataclass(slots=True)
class _Known:
    """What is in MLflow. `content` is None until it was read, and again once the run has ended.

    Kept for all runs it was 18 kB for each trial, and nobody asks for it but for a run that goes on.
    """

    run_id: str
    name: str = ""
    status: str = RUNNING
    start: int = 0
    digest: str | None = None
    content: _Content | None = None


class Runs:
    """Writes planned runs into the experiment called `name`, which is made, or restored if somebody deleted it.

    Args:
        client: an MlflowClient.
        history: of the sweep; empty if it is not known.
        artifacts: where a new experiment's artifacts go; None leaves it to MLflow.
    """

    def __init__(self, client: Any, name: str, history: str, artifacts: str | None) -> None:
        self._client, self._history = client, history
        self._experiment = _experiment(client, name, artifacts)
        self._known: dict[str, _Known] = {}
        self._without_history: dict[tuple[str, int], _Known] = {}  # by key and start
        for run in self._active():
            self._recognise(run)

    def describe(self, tags: Mapping[str, str]) -> None:
        """Gives the experiment these tags, where it does not have them; its description keeps those of others."""
        there = self._client.get_experiment(self._experiment).tags
        for name, value in beside_others(tags, there, self._history).items():
            if there.get(name) != value:
                self._client.set_experiment_tag(self._experiment, name, value)

    def find(self, key: str) -> str | None:
        """Returns the id of this history's run with this key."""
        known = self._known.get(key)
        return known.run_id if known else None

    def find_or_create(self, run: PlannedRun) -> str:
        """Returns the id of a run, which is made if it is missing; `write` fills it."""
        return (self._found(run) or self.create(run)).run_id

    def write(self, run: PlannedRun, parent: str | None = None) -> str:
        """Makes the run in MLflow equal to the planned one; does nothing if it is. Returns its id."""
        digest, known = run.digest(parent), self._found(run)
        if known and (known.digest, known.status) == (digest, run.status):
            return known.run_id
        if known and self._is_wrong(known, run):
            self._delete(known.run_id)
            known = None
        if known is None:
            known = self.create(run, parent, None if run.status == RUNNING else digest)
            tags = {DIGEST: digest} if run.status == RUNNING else {}
        else:
            name = {"mlflow.runName": run.name} if known.name != run.name else {}
            tags = {**_tags(run, parent), **name, DIGEST: digest}
        keeps_its_status = known.status == run.status
        if keeps_its_status:  # then it tells nothing, and the digest has to be last
            self._set_status(known, run)
        self._log_inputs(known, run)
        self._log(known, run, tags)
        if not keeps_its_status:
            self._set_status(known, run)
        known.digest, known.name = digest, run.name
        content = _Content(run.params, set(run.points), _names(run.inputs))
        known.content = content if run.status == RUNNING else None
        return known.run_id

    def let_go(self, key: str) -> None:
        """Keeps no more of a run that is complete. To be written again, it has to be looked up by another `Runs`."""
        del self._known[key]

    def create(self, run: PlannedRun, parent: str | None = None, digest: str | None = None) -> _Known:
        """Makes a run with nothing but name, start and tags; `write` fills it."""
        history = {HISTORY: self._history} if self._history else {}
        tags = {**_tags(run, parent), **history, **({DIGEST: digest} if digest else {})}
        made = self._client.create_run(self._experiment, start_time=run.start, tags=tags, run_name=run.name)
        self._known[run.key] = _Known(made.info.run_id, run.name, start=run.start, content=_Content())
        return self._known[run.key]

    @property
    def experiment(self) -> str:
        """The id of the experiment."""
        return self._experiment

    def tag(self, run_id: str, name: str) -> str | None:
        """Returns a tag of a run as MLflow has it."""
        value: str | None = self._client.get_run(run_id).data.tags.get(name)
        return value

    # What is there.

    def _active(self) -> Iterator[Any]:
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _recognise(self, run: Any) -> None:
        """Takes note of a run of ours; deletes what should not be there."""
        info, tags = run.info, run.data.tags
        if KEY not in tags or tags.get(HISTORY, self._history) != self._history:
            return
        alike, key = self._alike(tags, info.start_time)
        rival = alike.get(key)
        # Of two with one key everybody keeps the same, so that two who tidy up at once do not delete both.
        if REPLACED in tags or (rival and rival.run_id < info.run_id):
            self._delete(info.run_id)
            return
        if rival:
            self._delete(rival.run_id)
        alike[key] = _Known(
            run_id=info.run_id,
            name=info.run_name,
            status=info.status,
            start=info.start_time,
            digest=tags.get(DIGEST),
        )

    def _alike(self, tags: Mapping[str, str], start: int) -> tuple[dict[Any, _Known], Any]:
        """Returns what is known of runs that are told apart as one with these tags is, and by what that is told."""
        if HISTORY in tags:
            return self._known, tags[KEY]
        return self._without_history, (tags[KEY], start)

    def _found(self, run: PlannedRun) -> _Known | None:
        """Returns what is known of a run. One without a history that is surely the same gets this one."""
        if run.key not in self._known:
            same = self._without_history.get((run.key, run.start))
            if same is not None:
                if self._history:
                    self._client.set_tag(same.run_id, HISTORY, self._history)
                del self._without_history[run.key, run.start]
                self._known[run.key] = same
        return self._known.get(run.key)

    def _content(self, known: _Known) -> _Content:
        if known.content is None:
            there = self._client.get_run(known.run_id)
            data, inputs = there.data, there.inputs.dataset_inputs if there.inputs else []
            histories = (self._client.get_metric_history(known.run_id, key) for key in data.metrics)
            points = {Point(m.key, m.value, m.step, m.timestamp) for history in histories for m in history}
            known.content = _Content(data.params, points, {(i.dataset.name, i.dataset.digest) for i in inputs})
        return known.content

    def _is_wrong(self, known: _Known, run: PlannedRun) -> bool:
        """Whether the run holds something that cannot be taken back and should not be there."""
        planned, content = {(point.key, point.step): point for point in run.points}, self._content(known)
        return (
            known.start != run.start
            or any(run.params.get(name) != value for name, value in content.params.items())
            or any(planned.get((point.key, point.step), point) != point for point in content.points)
            or bool(run.inputs and content.inputs - _names(run.inputs))
        )

    # What is written.

    def _delete(self, run_id: str) -> None:
        # The mark outlives the deletion: restoring an experiment in the UI brings all its deleted runs back.
        self._client.set_tag(run_id, REPLACED, "true")
        self._client.delete_run(run_id)

    def _set_status(self, known: _Known, run: PlannedRun) -> None:
        if run.status != RUNNING:
            self._client.set_terminated(known.run_id, run.status, run.end)
        elif known.status != RUNNING:
            self._client.update_run(known.run_id, status=RUNNING)
        known.status = run.status

    def _log_inputs(self, known: _Known, run: PlannedRun) -> None:
        """Logs the data sets that are missing, in one batch."""
        missing = _names(run.inputs) - self._content(known).inputs
        if not missing:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Dataset(one.name, one.digest, one.source_type, one.source, one.schema, one.profile),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in run.inputs
            if (one.name, one.digest) in missing
        ]
        self._client.log_inputs(known.run_id, inputs)

    def _log(self, known: _Known, run: PlannedRun, tags: Mapping[str, str]) -> None:
        """Logs what is missing, the tags with the last batch."""
        from mlflow.entities import Metric, Param, RunTag

        there = self._content(known)
        metrics = [Metric(p.key, p.value, p.time, p.step) for p in run.points if p not in there.points]
        params = [Param(name, value) for name, value in run.params.items() if name not in there.params]
        metric_batches, param_batches = _batches(metrics, _MOST_METRICS), _batches(params, _MOST_OTHERS)
        count = max(len(metric_batches), len(param_batches), 1)
        for number in range(count):
            self._client.log_batch(
                known.run_id,
                metrics=metric_batches[number] if number < len(metric_batches) else [],
                params=param_batches[number] if number < len(param_batches) else [],
                tags=[RunTag(name, value) for name, value in tags.items()] if number == count - 1 else [],
            )


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        made: str = client.create_experiment(name, artifact_location=artifacts)
        return made
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    identifier: str = found.experiment_id
    return identifier


def _tags(run: PlannedRun, parent: str | None) -> dict[str, str]:
    return {**run.tags, KEY: run.key, "mlflow.source.name": "w2s", **({PARENT: parent} if parent else {})}


def _names(inputs: Sequence[Dataset]) -> set[tuple[str, str]]:
    return {(one.name, one.digest) for one in inputs}


def _batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
