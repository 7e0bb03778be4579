"""Sweeps of one name of two stores on one MLflow are two histories, and neither touches the other's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.search.record import COMPLETE, FAILED, PRUNED, SweepRecord
from w2s_ray.tracking import Projection

Look = Callable[..., Any]
STATES = (COMPLETE, COMPLETE, FAILED, PRUNED)
TAG = "w2s.history"


def project(uri: str, record: SweepRecord) -> None:
    Projection(uri, record.sweep.name, record.history).update(record)


def made(make_fake: Look, folder: Path, history: str) -> SweepRecord:
    """A sweep of one spec, run in its own store at its own time."""
    seconds = {"first": 0.0, "second": 3600.0}[history]
    record = make_fake(folder / history).record(*STATES)
    trials = tuple(
        replace(one, started=one.started + seconds, finished=one.finished + seconds) for one in record.trials
    )
    return replace(record, trials=trials, history=history)


@pytest.fixture
def first(make_fake: Look, tmp_path: Path) -> SweepRecord:
    return made(make_fake, tmp_path, "first")


@pytest.fixture
def second(make_fake: Look, tmp_path: Path) -> SweepRecord:
    return made(make_fake, tmp_path, "second")


def forget_histories(there: Any) -> None:
    """Leaves runs as a version before wrote them."""
    for run in there.runs:
        there.client.delete_tag(run.info.run_id, TAG)


def ids_of(there: Any, history: str) -> set[str]:
    return {run.info.run_id for run in there.runs if run.data.tags.get(TAG) == history}


def test_two_stores_leave_each_other_alone_and_are_told_apart(
    first: SweepRecord, second: SweepRecord, uri: str, shown: Look
) -> None:
    project(uri, first)
    alone = shown(uri)
    for record in (second, first, second):
        project(uri, record)
    both = shown(uri)
    assert ids_of(both, "first") == alone.ids()
    assert len(ids_of(both, "second")) == len(alone.runs) == len(both.runs) / 2
    assert [one for one in both.content() if one in alone.content()] == alone.content()
    notes = {run.data.tags[TAG]: run.data.tags["mlflow.note.content"] for run in both.of("sweep")}
    described = both.client.get_experiment_by_name("small").tags["mlflow.note.content"]
    for record in (first, second):
        told = f"Store: `{record.store.uri}`; its runs have the tag `w2s.history` `{record.history}`."
        assert told in notes[record.history]
        assert told in described


def test_runs_of_a_version_before_are_taken_on_by_the_store_they_are_of(
    first: SweepRecord, second: SweepRecord, uri: str, shown: Look
) -> None:
    project(uri, first)
    before = shown(uri)
    content = before.content()
    forget_histories(before)
    project(uri, second)
    project(uri, first)
    after = shown(uri)
    assert ids_of(after, "first") == before.ids()
    assert [one for one in after.content() if one in content] == content
    assert len(after.runs) == 2 * len(content)


def test_tracking_a_study_of_a_version_before_gives_the_runs_that_its_driver_goes_on_with(
    first: SweepRecord, second: SweepRecord, uri: str, shown: Look
) -> None:
    project(uri, second)
    for _ in range(2):
        project(uri, replace(first, history=""))
    tracked = shown(uri)
    project(uri, first)
    after = shown(uri)
    assert after.ids() == tracked.ids()
    assert len(ids_of(after, "first")) == len(ids_of(after, "second")) == len(after.runs) / 2
