"""A real search whose winners are confirmed: in a second run, with a failure, and carried on by a third."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from w2s_ray.methods import Parts, stages_of
from w2s_ray.report import answers, to_json
from w2s_ray.search.folder import experiment_in, load_record
from w2s_ray.search.plan import make_plan
from w2s_ray.search.record import SweepRecord
from w2s_ray.spec import Sweep, replace, yaml
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, small_data: dict[str, object]) -> Sweep:
    """As `small`, with a naive default that learns too little to be the best."""
    store = str(tmp_path_factory.mktemp("confirm") / "store")
    methods = {"naive": {"lr": 1e-4, "epochs": 1}, "confidence": {}}
    changes = {"methods": methods, "store": store, "tracking": {"enabled": False}}
    return Sweep.model_validate({**small_data, **changes})


def run(sweep: Sweep) -> SweepRecord:
    """Runs the sweep in a process of its own, since this one may have a Ray for other tests."""
    spec = Path(sweep.store).parent / "sweep.yaml"
    spec.write_text(yaml.dump(sweep), encoding="utf-8")
    command = [sys.executable, "-m", "w2s_ray", "run", str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return load_record(Store(sweep.store), sweep)


def confirming(sweep: Sweep) -> Sweep:
    return replace(sweep, search=replace(sweep.search, confirm=2))


def started(sweep: Sweep) -> list[str]:
    """The addresses of the stages that were started so far, in order."""
    path = Store(sweep.store).sweep_folder(sweep.name) / "starts.jsonl"
    return [json.loads(line)["address"] for line in path.read_text(encoding="utf-8").splitlines()]


def students(record: SweepRecord, number: int) -> tuple[Stage, ...]:
    """The fresh seeds' students of a trial."""
    return stages_of(Parts(record.sweep).with_fresh_seeds(), experiment_in(record.trials[number]))["student"]


@pytest.fixture(scope="module")
def searched(sweep: Sweep) -> SweepRecord:
    return run(sweep)


@pytest.fixture(scope="module")
def blocked(sweep: Sweep, searched: SweepRecord) -> Stage:
    """The first fresh student of the naive default; a file lies where its checkpoints would go."""
    [stage, _] = students(replace_sweep(searched, confirming(sweep)), 0)
    searched.store.work(stage.address).write_text("in the way", encoding="utf-8")
    return stage


def replace_sweep(record: SweepRecord, sweep: Sweep) -> SweepRecord:
    return SweepRecord(sweep, record.trials, record.store, record.study)


@pytest.fixture(scope="module")
def failed(sweep: Sweep, blocked: Stage) -> tuple[SweepRecord, int, list[str]]:
    """The second run: its record, what its plan had counted, and the stages it started."""
    before, asked = started(sweep), make_plan(confirming(sweep), Store(sweep.store))
    record = run(confirming(sweep))
    return record, asked.to_run, started(sweep)[len(before) :]


@pytest.fixture(scope="module")
def confirmed(sweep: Sweep, blocked: Stage, failed: tuple[SweepRecord, int, list[str]]) -> SweepRecord:
    failed[0].store.work(blocked.address).unlink()
    return run(confirming(sweep))


def test_the_search_is_the_same_with_and_without_confirmation(
    searched: SweepRecord, failed: tuple[SweepRecord, int, list[str]]
) -> None:
    assert [trial.stages for trial in failed[0].trials] == [trial.stages for trial in searched.trials]
    assert not any(trial.confirmation for trial in searched.trials)


def test_the_plan_counted_what_ran_and_nothing_ran_twice_but_what_failed(
    blocked: Stage, failed: tuple[SweepRecord, int, list[str]]
) -> None:
    _, counted, addresses = failed
    assert len(set(addresses)) == counted
    assert {address for address, times in Counter(addresses).items() if times > 1} == {blocked.address}


def test_a_confirmation_that_fails_is_told_and_ends_no_sweep(failed: tuple[SweepRecord, int, list[str]]) -> None:
    record = failed[0]
    made = record.trials[0].confirmation
    assert made is not None
    assert made.state == "failed"
    assert made.error is not None
    assert "NotADirectoryError" in made.error or "FileExistsError" in made.error
    others = [trial.confirmation for trial in record.to_confirm() if trial.number]
    assert all(one is not None and one.state == "complete" for one in others)


def test_the_next_run_does_the_rest_and_a_further_one_nothing(
    sweep: Sweep, blocked: Stage, confirmed: SweepRecord
) -> None:
    assert started(sweep)[-1] == blocked.address
    assert make_plan(confirming(sweep), confirmed.store).to_run == 0
    before = started(sweep)
    assert run(confirming(sweep)).trials == confirmed.trials
    assert started(sweep) == before


def test_the_reports_numbers_are_those_in_the_store(confirmed: SweepRecord) -> None:
    best = confirmed.best("minilm-0→minilm-1")
    assert best is not None
    assert best.number > 0
    fresh = students(confirmed, best.number)
    told = to_json(answers(confirmed))["pairings"][0]["confirmed"]
    assert told["trial"] == best.number
    assert told["seeds"] == [2, 3]
    in_store = [confirmed.store.get(stage.address).record.summary["test_accuracy"] for stage in fresh]
    assert told["student"]["fresh"] == pytest.approx(fmean(in_store))
    default = [confirmed.store.get(one.address).record.summary["test_accuracy"] for one in students(confirmed, 0)]
    assert told["lead"]["fresh"] == pytest.approx(fmean(in_store) - fmean(default))


def test_the_written_report_tells_it(confirmed: SweepRecord) -> None:
    folder: Path = confirmed.store.sweep_folder(confirmed.sweep.name) / "report"
    assert "Trained again with fresh seeds 2, 3" in (folder / "report.md").read_text(encoding="utf-8")
