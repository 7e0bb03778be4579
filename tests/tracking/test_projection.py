"""What MLflow shows follows from the record alone: however often, and however interrupted, it was projected."""

import base64
import csv
import json
import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.record import COMPLETE, FAILED, INTERRUPTED, PRUNED, RUNNING, SweepRecord
from w2s_ray.spec import Sweep, yaml
from w2s_ray.spec import replace as replace_spec
from w2s_ray.stages.store import Store
from w2s_ray.tracking import Projection
from w2s_ray.tracking import project as track
from w2s_ray.tracking.sweep_run import sweep_run

Look = Callable[..., Any]
STATES = (COMPLETE, COMPLETE, FAILED, PRUNED)


def project(uri: str, record: Any) -> None:
    Projection(uri, record.sweep.name, record.history).update(record)


class CutError(Exception):
    """The process died here."""


class Dying:
    """An MlflowClient whose process dies at its n-th call that writes, before or after the call had its effect."""

    def __init__(self, client: Any, calls: int, after: bool) -> None:
        self._client, self._left, self._after = client, calls, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in (
            "create_run",
            "log_batch",
            "log_inputs",
            "set_terminated",
            "update_run",
            "set_tag",
            "delete_run",
        ):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after):
                raise CutError
            made = method(*args, **kwargs)
            if self._left == 0:
                raise CutError
            return made

        return call


def test_a_sweep_is_a_run_its_trials_and_its_stages(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    [sweep] = shown(uri).of("sweep")
    trials, stages = shown(uri).of("trial"), shown(uri).of("stage")
    assert sweep.info.status == "FINISHED"
    assert [run.info.run_name for run in trials] == [
        "0000 naive minilm-0→minilm-1 lr=0.001",
        "0001 naive minilm-0→minilm-2 lr=0.002",
        "0002 confidence minilm-0→minilm-1 alpha=0.6 lr=0.003",
        "0003 confidence minilm-0→minilm-2 alpha=0.6 lr=0.004",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials + stages} == {sweep.info.run_id}
    assert [run.data.tags["state"] for run in trials] == ["complete", "complete", "failed", "pruned"]
    assert [run.info.status for run in trials] == ["FINISHED", "FINISHED", "FAILED", "FINISHED"]
    assert trials[2].data.tags["error"] == "ValueError: the student diverged"


def test_a_confirmation_is_shown_with_its_trial_its_stages_and_the_sweep(fake: Any, uri: str, shown: Look) -> None:
    fake.sweep = replace_spec(fake.sweep, search=replace_spec(fake.sweep.search, confirm=2))
    record = fake.record(*STATES)
    best = record.trials[1]
    stages = {
        "weak": tuple(fake.publish("weak", best.weak, seed) for seed in (2, 3)),
        "ceiling": tuple(fake.publish("ceiling", best.strong, seed) for seed in (2, 3)),
        "student": tuple(fake.publish("student", best.strong, seed, best.params["lr"]) for seed in (2, 3)),
    }
    running, ended = (Confirmation((2, 3), stages, state) for state in ("running", "complete"))
    projection = Projection(uri, record.sweep.name, record.history)
    for made in (None, running, ended):
        trials = tuple(replace(one, confirmation=made) if one.number == 1 else one for one in record.trials)
        projection.update(replace(record, trials=trials))
    trial, [sweep] = shown(uri).of("trial")[1], shown(uri).of("sweep")
    assert trial.data.metrics["confirmed_student_accuracy"] == pytest.approx(0.75 + 0.025)
    assert trial.data.metrics["confirmed_pgr"] == pytest.approx(0.5)
    assert (trial.data.tags["confirmation"], trial.data.tags["confirmation.seeds"]) == ("complete", "2,3")
    assert "again with fresh seeds 2, 3: weak accuracy 0.7250" in sweep.data.tags["mlflow.note.content"]
    shown_stages = {run.data.tags["w2s.address"] for run in shown(uri).of("stage")}
    assert {address for of_role in stages.values() for address in of_role} <= shown_stages


def test_a_stage_that_trials_share_is_one_run_and_they_point_to_it(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(*STATES)
    project(uri, record)
    stages = shown(uri).of("stage")
    names = [run.info.run_name for run in stages]
    assert names.count("weak minilm-0 seed 0") == 1
    assert len(names) == 2 + 2 * 2 + 2 * 2  # weak, two ceilings, two students; two seeds of each
    addresses = {run.data.tags["w2s.address"] for run in stages}
    for run in shown(uri).of("trial"):
        assert set(run.data.tags["w2s.stage.weak"].split(",")) <= addresses


def test_students_are_named_after_the_first_trial_they_were_made_for(fake: Any, uri: str, shown: Look) -> None:
    # Trial 2 tries on the same pairing what trial 0 tried, so it has the same students.
    same = {"method": "naive", "params": {"lr": 1e-3}}
    project(uri, fake.record(COMPLETE, COMPLETE, COMPLETE, t2={**same, "stages": fake.trial(0).stages}))
    assert [run.info.run_name for run in shown(uri).of("stage") if "student" in run.info.run_name] == [
        "0000 student minilm-1 seed 0",
        "0000 student minilm-1 seed 1",
        "0001 student minilm-2 seed 0",
        "0001 student minilm-2 seed 1",
    ]


def test_the_experiment_says_what_it_is_and_has_a_view_of_its_trials(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    experiment = shown(uri).client.get_experiment_by_name("small")
    places, kinds = experiment.tags["mlflow.note.content"].split("\n\n")
    [sweep] = shown(uri).of("sweep")
    here, query = f"#/experiments/{experiment.experiment_id}/runs", "workflowType=machine_learning"
    assert places.startswith(f"[sweep]({here}/{sweep.info.run_id}?{query}) · [trials]({here}?{query}&viewState")
    assert kinds.startswith("naive, confidence on movie-reviews; pairings minilm-0→minilm-1, ")
    view = json.loads(experiment.tags["mlflow.sharedViewState.trials"])
    assert view["orderByKey"] == "metrics.`validation_oracle`"
    trials = shown(uri).of("trial")
    names = {f"metrics.`{name}`" for run in trials for name in run.data.metrics}
    names |= {f"params.`{name}`" for run in trials for name in run.data.params}
    assert set(view["selectedColumns"]) <= names, "a column of the view that no trial has"
    assert view["columnOrder"][2:] == view["selectedColumns"]
    assert set(view["columnOrder"]) == set(view["columnWidths"])


def test_charts_compare_what_all_trials_have_and_what_one_method_has_more(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*[COMPLETE] * 4))
    view = json.loads(shown(uri).client.get_experiment_by_name("small").tags["mlflow.sharedViewState.trials"])
    sections = {section["uuid"]: section["name"] for section in view["compareRunSections"]}
    parallel = [chart for chart in view["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert [(sections[chart["metricSectionId"]], chart["selectedParams"]) for chart in parallel] == [
        ("Settings of all trials", ["method", "lr"]),
        ("Settings of confidence", ["alpha", "lr"]),
    ]
    trials = shown(uri).of("trial")
    for chart in parallel:  # it leaves out the trials that lack one of its axes
        has_all = [run for run in trials if set(chart["selectedParams"]) <= set(run.data.params)]
        assert len(has_all) == (4 if "method" in chart["selectedParams"] else 2)
        assert all(set(chart["selectedMetrics"]) <= set(run.data.metrics) for run in has_all)


def test_a_view_too_long_for_a_tag_is_written_as_the_uis_own(fake: Any, uri: str, shown: Look) -> None:
    spec = fake.sweep.model_dump(mode="json", by_alias=True, exclude_none=True)
    methods = {"naive": {}, "bootstrap": {"iterations": 98}}
    space = {f"intermediate.{n}.lr": {"log_uniform": [1e-4, 1e-2]} for n in range(1, 99)}
    fake.sweep = Sweep.model_validate({**spec, "methods": methods, "space": space})
    project(uri, fake.record(COMPLETE))
    text = shown(uri).client.get_experiment_by_name("small").tags["mlflow.sharedViewState.trials"]
    head, _, packed = text.partition(";")
    assert (head, len(text) <= 5000) == ("deflate", True)
    assert "params.`intermediate.98.lr`" in json.loads(zlib.decompress(base64.b64decode(packed)))["selectedColumns"]


def test_a_trials_numbers_are_exact_and_its_times_are_the_studys(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(COMPLETE))
    [run] = shown(uri).of("trial")
    assert run.data.params["lr"] == "0.001"
    assert run.data.params["objective"] == "oracle"
    expected = {"weak_accuracy": 0.705, "ceiling_accuracy": 0.805, "student_accuracy": 0.755, "pgr": 0.5}
    expected |= {"validation_oracle": 0.7, "validation_weak": 0.8, "validation_accuracy": 0.65}
    assert run.data.metrics == pytest.approx(expected)
    assert shown(uri).history(run, "validation_accuracy") == [(10, 0.6), (20, 0.65)]
    assert (run.info.start_time, run.info.end_time) == (1_790_000_000_000, 1_790_000_050_000)


def test_a_stages_curve_is_logged_at_the_trained_steps(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(COMPLETE))
    [run] = [run for run in shown(uri).of("stage") if run.info.run_name == "0000 student minilm-1 seed 0"]
    assert shown(uri).history(run, "curve/train_loss") == [(10, 1.0), (20, 1 / 2), (30, 1 / 3), (40, 1 / 4)]
    assert run.data.metrics["test_accuracy"] == 0.75
    assert run.data.params["depth"] == "1"
    assert run.data.params["lr"] == "0.001"
    assert run.data.tags["seconds.loop"] == "1.500"
    assert run.data.tags["trial"] == "0"
    assert set(run.data.metrics) == {
        *("curve/train_loss", "curve/validation_accuracy", "schedule/alpha", "schedule/lr"),
        *("train_loss", "validation_accuracy", "test_accuracy", "system/process_cpu_percentage"),
    }


def test_runs_carry_the_tags_that_people_filter_by(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    [sweep] = shown(uri).of("sweep")
    assert (sweep.data.tags["state"], sweep.data.tags["seed"]) == ("complete", "0,1")
    trial = shown(uri).of("trial")[2].data.tags
    named = ("kind", "state", "method", "weak", "strong", "seed")
    assert [trial[name] for name in named] == ["trial", "failed", "confidence", "minilm-0", "minilm-1", "0,1"]
    stages = {run.info.run_name: run.data.tags for run in shown(uri).of("stage")}
    student = stages["0000 student minilm-1 seed 1"]
    assert [student[name] for name in named] == ["stage", "complete", "naive", "minilm-0", "minilm-1", "1"]
    assert [student["role"], stages["weak minilm-0 seed 0"]["role"]] == ["student", "weak"]
    assert "strong" not in stages["weak minilm-0 seed 0"], "it is shared by pairings"


def test_the_data_of_each_split_are_inputs_of_the_sweep(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    [run] = shown(uri).of("sweep")
    found = [(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in run.inputs.dataset_inputs]
    splits = ("student", "test", "validation", "weak")
    assert sorted(found) == [(f"movie-reviews {split}", fake.examples().address, split) for split in splits]
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile) == {"num_rows": 40}
    assert "movie-reviews@1" in run.inputs.dataset_inputs[0].dataset.source


def test_a_run_with_the_data_of_another_time_is_replaced(fake: Any, uri: str, shown: Look) -> None:
    from mlflow.entities import Dataset, DatasetInput

    project(uri, fake.record(COMPLETE))
    before = shown(uri)
    [run] = before.of("sweep")
    before.client.log_inputs(run.info.run_id, [DatasetInput(Dataset("other", "1", "local", "{}"))])
    before.client.set_tag(run.info.run_id, "w2s.digest", "as if it had changed")
    project(uri, fake.record(COMPLETE))
    assert shown(uri).content() == before.content()
    assert shown(uri).of("sweep")[0].info.run_id != run.info.run_id


def test_searched_numbers_are_params_that_read_as_numbers(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    trials = shown(uri).of("trial")
    assert [float(run.data.params["lr"]) for run in trials] == [0.001, 0.002, 0.003, 0.004]
    assert [float(run.data.params["alpha"]) for run in trials if "alpha" in run.data.params] == [0.6, 0.6]


def test_a_parameter_that_a_trial_does_not_have_is_absent(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    with_alpha = ["alpha" in run.data.params for run in shown(uri).of("trial")]
    assert with_alpha == [False, False, True, True]


def test_projecting_again_changes_nothing(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(*STATES)
    project(uri, record)
    first = shown(uri)
    project(uri, record)
    assert shown(uri).content() == first.content()
    assert shown(uri).ids() == first.ids()


def test_a_running_trial_that_ends_is_the_same_run(fake: Any, uri: str, shown: Look) -> None:
    projection = Projection(uri, "small", "mine")
    projection.update(fake.record(COMPLETE, RUNNING, t1={"intermediate": {10: 0.6}}))
    before = shown(uri).of("trial")[1]
    assert before.info.status == "RUNNING"
    assert shown(uri).of("sweep")[0].info.status == "RUNNING"
    projection.update(fake.record(COMPLETE, COMPLETE))
    after = shown(uri).of("trial")[1]
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert shown(uri).history(after, "validation_accuracy") == [(10, 0.6), (20, 0.65)]


def test_an_interrupted_trial_is_shown_as_such_until_a_driver_takes_it_up(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(COMPLETE, INTERRUPTED))
    before = shown(uri).of("trial")[1]
    assert (before.info.status, before.data.tags["state"]) == ("KILLED", "interrupted")
    assert shown(uri).of("sweep")[0].data.tags["trials"] == "1 complete, 1 interrupted"
    project(uri, fake.record(COMPLETE, COMPLETE))
    after = shown(uri).of("trial")[1]
    assert (after.info.run_id, after.info.status, after.data.tags["state"]) == (
        before.info.run_id,
        "FINISHED",
        "complete",
    )


def test_many_updates_by_many_processes_leave_what_one_leaves(fake: Any, new_uri: Look, shown: Look) -> None:
    many, one = new_uri(), new_uri()
    for count in range(1, 5):
        states = [*STATES[: count - 1], RUNNING]
        project(many, fake.record(*states, **{f"t{count - 1}": {"intermediate": {10: 0.6}}}))
    project(many, fake.record(*STATES))
    project(one, fake.record(*STATES))
    assert shown(many).content() == shown(one).content()


def test_a_deleted_projection_is_rebuilt_the_same(fake: Any, new_uri: Look, shown: Look) -> None:
    first, second = new_uri(), new_uri()
    project(first, fake.record(*STATES))
    project(second, fake.record(*STATES))
    assert shown(first).content() == shown(second).content()
    assert shown(first).ids().isdisjoint(shown(second).ids())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interruption_at_any_call_leaves_nothing_twice(fake: Any, new_uri: Look, shown: Look, after: bool) -> None:
    broken, whole = new_uri(), new_uri()
    for states in ((COMPLETE, FAILED), (COMPLETE, FAILED, COMPLETE)):  # finished, extended, and finished again
        search = fake.sweep.search.model_copy(update={"trials": len(states)})
        fake.sweep = fake.sweep.model_copy(update={"search": search})
        record = fake.record(*states)
        project(whole, record)
        update_with_cuts(broken, record, after)
        project(broken, record)
        assert shown(broken).content() == shown(whole).content()
    assert [run.info.status for run in shown(broken).of("sweep")] == ["FINISHED"]


def update_with_cuts(uri: str, record: SweepRecord, after: bool) -> None:
    """Dies at the first writing call, then again at the next, and so on, each time in a new process."""
    for calls in range(1, 200):
        projection = Projection(uri, "small", "mine")
        projection.open()
        assert projection._runs is not None
        projection._runs._client = Dying(projection._runs._client, calls, after)
        try:
            return projection.update(record)
        except CutError:
            continue
    raise AssertionError("it never ends")


def test_an_experiment_deleted_in_the_ui_comes_back(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(*STATES)
    project(uri, record)
    before = shown(uri)
    before.client.delete_experiment(before.runs[0].info.experiment_id)
    project(uri, record)
    assert shown(uri).content() == before.content()
    assert shown(uri).ids() == before.ids()


def test_a_run_deleted_in_the_ui_is_made_again(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(*STATES)
    project(uri, record)
    before = shown(uri)
    before.client.delete_run(before.of("trial")[0].info.run_id)
    before.client.delete_run(before.of("sweep")[0].info.run_id)
    project(uri, record)
    assert shown(uri).content() == before.content()


def test_a_trial_seen_half_asked_is_replaced_when_its_method_is_known(fake: Any, uri: str, shown: Look) -> None:
    projection = Projection(uri, "small", "mine")
    projection.update(fake.record(RUNNING, t0={"method": "confidence", "params": {"alpha": 0.5}}))
    projection.update(fake.record(RUNNING))
    [run] = shown(uri).of("trial")
    assert run.data.params["method"] == "naive"
    assert "alpha" not in run.data.params


def test_a_replaced_run_stays_away_when_its_experiment_is_restored(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(RUNNING)
    project(uri, fake.record(RUNNING, t0={"params": {"lr": 0.5}}))
    project(uri, record)
    before = shown(uri)
    before.client.delete_experiment(before.runs[0].info.experiment_id)
    project(uri, record)
    assert shown(uri).content() == before.content()


def test_two_writers_at_once_leave_one_run_of_each(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(*STATES)
    first, second = Projection(uri, "small", "mine"), Projection(uri, "small", "mine")
    first.open()
    second.open()  # sees nothing of what the first is going to write
    first.update(record)
    alone = shown(uri)
    second.update(record)
    assert len(shown(uri).runs) == 2 * len(alone.runs)
    project(uri, record)
    assert shown(uri).content() == alone.content()


def test_a_stage_trained_anew_after_gc_replaces_its_run(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(COMPLETE)
    project(uri, record)
    before = {run.info.run_name: run.info.run_id for run in shown(uri).of("stage")}
    place = fake.store.get(record.trials[0].stages["student"][0]).path / "stage.json"
    later = place.read_text(encoding="utf-8").replace('"finished_at": 1', '"finished_at": 2')
    place.write_text(later, encoding="utf-8")
    project(uri, record)
    after = {run.info.run_name: run.info.run_id for run in shown(uri).of("stage")}
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["0000 student minilm-1 seed 0"]
    assert len(after) == len(before)


def test_a_changed_spec_of_the_same_name_gets_a_sweep_run_of_its_own(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(COMPLETE))
    changed = {**fake.sweep.model_dump(mode="json", by_alias=True, exclude_none=True), "methods": ["naive"]}
    changed["space"] = {"lr": {"log_uniform": [1e-4, 1e-3]}}
    fake.sweep = Sweep.model_validate(changed)
    project(uri, fake.record(COMPLETE))
    sweeps = [run.info.run_id for run in shown(uri).of("sweep")]
    assert len(sweeps) == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in shown(uri).of("trial")} == set(sweeps)
    assert len(shown(uri).of("stage")) == 6


def test_an_extended_sweep_goes_on_in_the_same_run(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    [before] = shown(uri).of("sweep")
    search = fake.sweep.search.model_copy(update={"trials": 6})
    fake.sweep = fake.sweep.model_copy(update={"search": search})
    project(uri, fake.record(*STATES, RUNNING))
    [during] = shown(uri).of("sweep")
    assert (during.info.run_id, during.info.status) == (before.info.run_id, "RUNNING")
    project(uri, fake.record(*STATES, COMPLETE, COMPLETE))
    [after] = shown(uri).of("sweep")
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert shown(uri).history(after, "best_validation/minilm-0 to minilm-1") == [(0, 0.7), (2, 0.7), (4, 0.74)]
    recovered = dict(shown(uri).history(after, "pgr_of_best/minilm-0 to minilm-1"))
    assert recovered == pytest.approx({0: 0.5, 2: 0.5, 4: 0.5})


def test_the_sweeps_note_says_how_to_carry_on_what_is_best_and_where_it_lies(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record(*STATES))
    [run] = shown(uri).of("sweep")
    note = run.data.tags["mlflow.note.content"]
    assert "| minilm-0→minilm-1 | 0 | naive | 0.7000 | 0.7050 | 0.7550 | 0.8050 | 0.5000 |" in note
    assert note.startswith(
        f"2 complete, 1 failed, 1 pruned of 4 trials. [sweep](#/experiments/1/runs/{run.info.run_id}?"
    )
    assert "2 pairings, methods naive, confidence, 2 seeds each; searched: lr, alpha; sampler tpe" in note
    assert f"`w2s resume small --store {fake.store.root}`" in note


REPORT = "# small\n\n## Answer\n\n- **a→b**: confidence recovers 0.5 [0.4, 0.6].\n\n## Numbers\n\n| |\n"


def test_a_complete_sweeps_note_and_experiment_begin_with_what_the_report_answers(
    fake: Any, uri: str, shown: Look, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("<p>older", encoding="utf-8")
    (tmp_path / "report.md").write_text(REPORT, encoding="utf-8")
    os.utime(tmp_path / "report.html", (1, 1))
    projection = Projection(uri, "small", "mine")

    def told(record: Any, report: Path | None) -> list[str]:
        projection.update(record, report)
        experiment = shown(uri).client.get_experiment_by_name("small")
        return [shown(uri).of("sweep")[0].data.tags["mlflow.note.content"], experiment.tags["mlflow.note.content"]]

    for text in told(fake.record(*STATES), tmp_path):
        assert text.split("\n\n")[1] == "- **a→b**: confidence recovers 0.5 [0.4, 0.6]."
        assert "/artifacts/report/report.md?workflowType=machine_learning)" in text, "the page is older than the answer"
    os.utime(tmp_path / "report.html")
    assert all("/artifacts/report/report.html?" in text for text in told(fake.record(*STATES), tmp_path))
    for record, report in ((fake.record(*STATES, RUNNING), tmp_path), (fake.record(*STATES), None)):
        assert not any("recovers" in text or "artifacts/report" in text for text in told(record, report))


def test_a_note_longer_than_mlflow_keeps_is_cut_with_a_remark(fake: Any, uri: str, shown: Look) -> None:
    models = {f"minilm-with-a-long-name-{n}": {"source": "minilm", "depth": n} for n in range(150)}
    weak, *others = models
    spec = fake.sweep.model_dump(mode="json", by_alias=True, exclude_none=True)
    pairings = [{"weak": weak, "strong": other} for other in others]
    fake.sweep = Sweep.model_validate({**spec, "models": models, "pairings": pairings, "search": {"trials": 500}})
    project(uri, fake.record(COMPLETE))
    note = shown(uri).of("sweep")[0].data.tags["mlflow.note.content"]
    assert len(note) <= 8000
    assert note.endswith("... (cut)")


def test_a_curve_longer_than_mlflow_shows_well_is_thinned_and_arrives_whole(fake: Any, uri: str, shown: Look) -> None:
    fake.steps = 1000
    project(uri, fake.record(COMPLETE))
    run = shown(uri).of("stage")[0]
    history = shown(uri).history(run, "curve/train_loss")
    assert len(history) == 400
    assert (history[0][0], history[-1][0]) == (10, 10_000)
    assert "w2s.digest" in run.data.tags


def test_a_pgr_without_a_gap_is_absent(fake: Any, uri: str, shown: Look) -> None:
    record = fake.record(COMPLETE)
    stages = {**record.trials[0].stages}
    stages["ceiling"] = stages["weak"]
    project(uri, replace(record, trials=(replace(record.trials[0], stages=stages),)))
    metrics = shown(uri).of("trial")[0].data.metrics
    assert "student_accuracy" in metrics
    assert "pgr" not in metrics


def test_a_sweep_without_trials_is_an_empty_experiment(fake: Any, uri: str, shown: Look) -> None:
    project(uri, fake.record())
    assert shown(uri).runs == []


def test_the_report_is_put_onto_the_sweeps_run_when_it_changed(
    fake: Any, uri: str, shown: Look, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    (report / ".new-x").mkdir(parents=True)
    (report / ".new-x" / "half.md").write_text("half", encoding="utf-8")
    (report / "report.md").write_text("# One", encoding="utf-8")
    projection = Projection(uri, "small", "mine", (tmp_path / "artifacts").as_uri())
    with pytest.raises(RuntimeError, match="after an update"):
        projection.log_artifacts(fake.record(COMPLETE), report)
    projection.update(fake.record(COMPLETE))
    projection.log_artifacts(fake.record(COMPLETE), report)
    [logged] = (tmp_path / "artifacts").rglob("*.md")
    logged.unlink()
    projection.log_artifacts(fake.record(COMPLETE), report)
    assert not logged.exists(), "an unchanged report is not logged again"
    (report / "report.md").write_text("# Two", encoding="utf-8")
    projection.log_artifacts(fake.record(COMPLETE), report)
    assert logged.read_text(encoding="utf-8") == "# Two"


def test_projecting_at_once_takes_the_report_along(
    fake: Any, empty_database: Path, shown: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = fake.record(COMPLETE)
    shutil.copy(empty_database, fake.store.root / "mlflow.db")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("# One", encoding="utf-8")
    uri = track(record, tmp_path / "report")
    assert track(record, tmp_path / "nothing") == uri
    assert len(shown(uri).of("trial")) == 1
    assert len(list((fake.store.root / "mlflow-artifacts").rglob("report.md"))) == 1


def test_the_file_is_written_ahead_so_that_the_ui_can_read_meanwhile(fake: Any, uri: str) -> None:
    project(uri, fake.record(COMPLETE))
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_stage_still_to_come_is_added_by_the_next_update(fake: Any, uri: str, shown: Look, tmp_path: Path) -> None:
    projection = Projection(uri, "small", "mine")
    full = fake.record(COMPLETE)
    projection.update(replace(full, store=Store(tmp_path / "nothing")))
    assert shown(uri).of("stage") == []
    projection.update(full)
    assert len(shown(uri).of("stage")) == 6


def test_the_sweeps_run_has_its_spec_and_a_table_of_what_the_best_student_says(
    fake: Any, uri: str, tmp_path: Path
) -> None:
    record = fake.record(*STATES)
    projection = Projection(uri, "small", "mine", (tmp_path / "artifacts").as_uri())
    projection.update(record)
    projection.log_artifacts(record, None)
    [spec] = (tmp_path / "artifacts").rglob("sweep.yaml")
    assert yaml.load(spec) == record.sweep
    table, other = sorted((tmp_path / "artifacts").rglob("predictions/*.csv"))
    assert [table.name, other.name] == ["minilm-0-to-minilm-1.csv", "minilm-0-to-minilm-2.csv"]
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(rows) == 40
    assert rows[0] == {
        **{"id": "000", "class": "negative", "text": "bad, film"},
        **dict.fromkeys(("weak", "student", "ceiling"), "positive"),
        **{f"{role} probability": "1.0000" for role in ("weak", "student", "ceiling")},
    }


def test_the_best_so_far_of_many_trials_is_drawn_by_few_points_that_lie_on_it_and_never_change(fake: Any) -> None:
    whole = fake.record(COMPLETE, COMPLETE)
    values = random.Random(0).choices([0.5 + 0.001 * step for step in range(400)], k=600)
    trials = tuple(
        replace(whole.trials[number % 2], number=number, values={"oracle": value, "weak": value})
        for number, value in enumerate(values)
    )

    def curve(count: int) -> dict[int, float]:
        points = sweep_run(replace(whole, trials=trials[:count]), "study").points
        return {point.step: point.value for point in points if point.key == "best_validation/minilm-0 to minilm-1"}

    drawn, mine = curve(600), range(0, 600, 2)
    best = [max(values[0 : number + 1 : 2]) for number in mine]
    assert len(drawn) < 80 < 250 < len(best)
    between = np.interp(mine, list(drawn), list(drawn.values()))
    beyond = [number > max(drawn) for number in mine]
    assert [value for value, is_beyond in zip(between, beyond, strict=True) if not is_beyond] == pytest.approx(
        [value for value, is_beyond in zip(best, beyond, strict=True) if not is_beyond]
    )
    for count in range(0, 600, 7):
        assert curve(count).items() <= drawn.items()
