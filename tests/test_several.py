"""A file with many tasks: every command does all of them, and what ends one stops no other."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from w2s_ray.cli import app
from w2s_ray.search.several import keep, kept
from w2s_ray.spec import yaml
from w2s_ray.stages.store import Store

ROOT = Path(__file__).parents[1]
SPEC = """
name: many
task: {splits: {weak: 60, student: 60, validation: 40, test: 80}}
tasks:
  mctaco:                      # has no commit
  good: {source: good.csv}
  better: {source: better.csv, seed: 1}
models:
  small: {source: minilm, depth: 0, max_length: 16, baseline: &head {lr: 3e-3, epochs: 2, eval_every: 20}}
  large: {source: minilm, depth: 1, max_length: 16, baseline: *head}
pairings: [{weak: small, strong: large}]
methods: [naive, confidence]
seeds: [0]
search: {trials: 2, parallelism: 2}
tracking: {enabled: false}
"""


def w2s(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def said(*arguments: str) -> str:
    """What a command that succeeds prints, called in this process."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the spec and two tables of words that tell their class, mostly."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.yaml").write_text(SPEC, encoding="utf-8")
    for name in ("good", "better"):
        draw = random.Random(name)
        words = {"0": ["dull", "slow", "grey", "plain"], "1": ["bright", "merry", "lucky", "warm"]}
        rows = ["text,label"]
        for number in range(600):
            label = draw.choice("01")
            told = " ".join(draw.choice(words[draw.choice([label, label, "0", "1"])]) for _ in range(4))
            rows.append(f"{told} {name} {number},{label}")
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return w2s("run", "many.yaml", cwd=folder)


def test_a_plan_has_a_line_for_each_task_totals_and_what_is_missing(folder: Path) -> None:
    done = w2s("plan", "many.yaml", "--store", "empty", cwd=folder)
    assert done.returncode == 1, "one task cannot be planned"
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["many-good", "many-better"]
    assert lines[3].split()[:3] == ["in", "all", "4"]
    assert "missing    many-mctaco: mctaco has no commit of its own: give task.revision" in done.stdout
    plan = json.loads(w2s("plan", "many.yaml", "--store", "empty", "--json", cwd=folder).stdout)
    assert plan["trials"] == 4 == sum(one["trials"] for one in plan["sweeps"])
    assert list(plan["failed"]) == ["many-mctaco"]
    assert not (folder / "empty").exists()


@pytest.mark.slow
def test_a_task_that_cannot_run_is_told_and_stops_no_other(folder: Path, ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 1
    assert "w2s: many-mctaco: mctaco has no commit of its own" in ran.stderr
    assert "1 of 3 failed: many-mctaco; mend the cause and: w2s resume many" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "many-good on" in ran.stdout
    assert "Over all tasks" in ran.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_status_and_report_of_the_files_name_tell_all_tasks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    status = said("status", "many")
    assert "2 of 3 finished" in status
    assert "resume  w2s resume many" in status
    told = json.loads(said("status", "many", "--json"))
    assert told["trials"]["complete"] == 4
    assert [one["sweep"] for one in told["sweeps"]] == ["many-mctaco", "many-good", "many-better"]
    report = json.loads(said("report", "many", "--json"))
    assert [one["sweep"] for one in report["sweeps"]] == ["many-mctaco", "many-good", "many-better"]
    assert {row["method"]: row["num_tasks"] for row in report["across"]}["confidence"] == 2
    assert json.loads(said("report", "many-good", "--json")) == report["sweeps"][1]


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_the_page_of_the_files_name_has_all_tasks_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert "Over all tasks" in said("report", "many")
    page = (folder / "w2s-runs" / "sweeps" / "many" / "report" / "report.html").read_text(encoding="utf-8")
    assert all(f"<strong>many-{task}</strong>" in page for task in ("mctaco", "good", "better"))
    assert "Over all tasks" in page


@pytest.mark.slow
@pytest.mark.usefixtures("ran")
def test_resuming_by_the_files_name_needs_neither_file_nor_folder(folder: Path, tmp_path: Path) -> None:
    done = w2s("resume", "many", "--store", str(folder / "w2s-runs"), cwd=tmp_path)
    assert done.returncode == 1
    assert "many-better on" in done.stdout
    assert "1 of 3 failed: many-mctaco" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_under_the_files_name_is_what_was_asked_for(tmp_path: Path) -> None:
    store, several = Store(tmp_path / "store"), yaml.parse_all(SPEC)
    assert kept(store, "many") is None
    keep(store, several)
    assert kept(store, "many") == several
    (store.sweep_folder("many") / "tasks.json").write_text("[{]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"tasks\.json is damaged"):
        kept(store, "many")


def test_a_file_of_many_does_not_take_the_name_of_a_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.sweep_folder("many").mkdir(parents=True)
    (store.sweep_folder("many") / "sweep.yaml").touch()
    with pytest.raises(ValueError, match="'many' is a sweep of one task"):
        keep(store, yaml.parse_all(SPEC))


def test_a_warm_start_is_of_one_task(folder: Path) -> None:
    done = w2s("run", "many.yaml", "--warm-start", "other", cwd=folder)
    assert done.returncode == 2
    assert "--warm-start" in done.stderr
