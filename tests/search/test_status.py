"""What `w2s status` says of a sweep, from study and store alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import w2s_ray
from w2s_ray.methods import Parts
from w2s_ray.search.folder import journal_path, load_record, save_spec
from w2s_ray.search.lease import lease
from w2s_ray.search.listing import list_sweeps
from w2s_ray.search.status import Status, status_of
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.spec.budget import Budget
from w2s_ray.stages.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def study(sweep: Sweep, store: Store) -> Study:
    """Three of twenty trials are told: one complete, two failed for one reason; three more are open."""
    study = Study(Parts(sweep), journal_path(store, sweep.name))
    for _ in range(4):
        study.ask()
    study.tell(0, Outcome("complete", {"oracle": 0.7, "weak": 0.8}))
    for number in (1, 2):
        study.tell(number, Outcome("failed", error="ValueError: depth 99", traceback=f"File 1, of {number}\nFile 2"))
    for _ in range(2):
        study.ask()
    return study


def status(sweep: Sweep, store: Store) -> Status:
    return status_of(load_record(store, sweep))


def report(sweep: Sweep, store: Store) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "w2s_ray", "report", sweep.name, "--store", store.uri]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sweep_without_a_driver_is_interrupted_and_its_open_trials_wait(
    sweep: Sweep, store: Store, study: Study
) -> None:
    found = status(sweep, store)
    assert found.to_json() == {
        "sweep": "small",
        "state": "interrupted",
        "trials": {"complete": 1, "pruned": 0, "failed": 2, "running": 0, "waiting": 17},
        "stages": {"trained": 0, "reused": 0},
    }
    assert f"resume  w2s resume small --store {store.uri}" in found.to_text()


def test_a_sweep_that_its_budget_ended_is_not_interrupted_unless_trials_are_open(sweep: Sweep, store: Store) -> None:
    over = Budget(deadline="2020-01-01T00:00+00:00")
    made = replace(sweep, search=replace(sweep.search, budget=over))
    save_spec(store, made)
    assert status(made, store).state == list_sweeps(store, 0.0)[0].state == "out of budget"
    assert "resume  w2s run with a larger search.budget" in status(made, store).to_text()
    Study(Parts(made), journal_path(store, made.name)).ask()
    assert status(made, store).state == "interrupted"


def test_a_sweep_with_a_driver_is_running_and_says_whose(sweep: Sweep, store: Store, study: Study) -> None:
    with lease(store, sweep.name):
        found = status(sweep, store)
    assert (found.state, found.trials["running"], found.trials["waiting"]) == ("running", 3, 14)
    assert "small: running, by process" in found.to_text()


def test_a_report_calls_no_trial_running_that_no_driver_works_on(sweep: Sweep, store: Store) -> None:
    save_spec(store, sweep)
    Study(Parts(sweep), journal_path(store, sweep.name)).ask()
    with lease(store, sweep.name):
        assert w2s_ray.load(sweep.name, store.uri).trials["state"].tolist() == ["running"]
    assert w2s_ray.load(sweep.name, store.uri).trials["state"].tolist() == ["interrupted"]
    assert "Trials: 1 interrupted, of 20 asked for." in report(sweep, store).stdout


def test_a_sweep_whose_budget_is_spent_is_finished(sweep: Sweep, store: Store, study: Study) -> None:
    small = replace(sweep, search=replace(sweep.search, trials=2))
    assert status(small, store).state == "finished"


def test_failed_trials_are_grouped_by_reason_with_the_last_traceback(sweep: Sweep, store: Store, study: Study) -> None:
    text = status(sweep, store).to_text()
    assert "failed  trials 1, 2: ValueError: depth 99\n        File 1, of 2\n        File 2" in text
    assert text.count("ValueError") == 1


def test_tries_that_were_made_again_are_counted_and_a_torn_line_is_not(
    sweep: Sweep, store: Store, study: Study
) -> None:
    lines = [
        {"verdict": "died", "again": True},
        {"verdict": "died", "again": True},
        {"verdict": "moved", "again": True},
        {"verdict": "failed", "again": False},
    ]
    path = store.sweep_folder(sweep.name) / "failures.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"verdict": "lo', encoding="utf-8")
    found = status(sweep, store)
    assert found.retried == {"died": 2, "moved": 1}
    assert "again   2 stages whose process died, 1 trainings that left a node with notice" in found.to_text()


def test_a_sweep_of_a_read_only_store_is_told(sweep: Sweep, disk_of: Callable[[str], Path]) -> None:
    store = Store(disk_of("1m"))
    save_spec(store, sweep)
    with lease(store, sweep.name):
        assert status(sweep, store).state == "running"
    subprocess.run(["mount", "-o", "remount,ro", str(store.root)], check=True)
    assert status(sweep, store).state == list_sweeps(store, 0.0)[0].state == "interrupted"
    done = report(sweep, store)
    assert (done.returncode, "no trial has finished yet" in done.stdout) == (1, True)
    assert f"w2s: the store {store.root} is read-only (writing the report: " in done.stderr
