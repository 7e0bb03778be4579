"""Whole sweeps: the real command line, real Ray, real MLflow, real reviews and a real model."""

import importlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from reduced import QUICKSTART, reduced_quickstart

import w2s_ray
from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.search.known_stores import remember
from w2s_ray.search.plan import make_plan
from w2s_ray.search.record import SweepRecord
from w2s_ray.spec import Sweep, replace, yaml
from w2s_ray.spec.method import DEFAULTS
from w2s_ray.stages.store import Store

NOTEBOOK = QUICKSTART.parents[1] / "docs" / "compare.ipynb"
LR = {"lr": {"log_uniform": [2e-4, 1e-2]}}


def attempt(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)


def w2s(*arguments: str, cwd: Path) -> str:
    done = attempt(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(record: SweepRecord) -> list[Any]:
    """All that a sweep found out, without times."""
    return [
        (trial.number, trial.state, trial.params, trial.values, trial.intermediate, trial.stages,
         [record.store.get(address).record.summary for of_role in trial.stages.values() for address in of_role])
        for trial in record.trials
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reduced quickstart was run once from the command line."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "quickstart.yaml").write_text(yaml.dump(reduced_quickstart()), encoding="utf-8")
    w2s("run", "quickstart.yaml", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def answer(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What its report says for scripts; the page beside the sweep is made with it."""
    page = tmp_path_factory.mktemp("page") / "page.html"
    return w2s("report", "quickstart", "--json", "--html", str(page), cwd=folder)


def test_the_quickstart_ends_with_an_answer_in_its_stable_form(answer: str) -> None:
    report = json.loads(answer)
    assert set(report) == {"sweep", "task", "pairings"}
    assert len(report["pairings"]) == 3
    for pairing in report["pairings"]:
        assert set(pairing) == {"weak", "strong", "weak_accuracy", "ceiling_accuracy", "methods"}
        assert {method["method"] for method in pairing["methods"]} == {"naive", "confidence", "bootstrap"}
        for method in pairing["methods"]:
            assert set(method) == {
                "method", "student_accuracy", "pgr", "pgr_low", "pgr_high", "params", "seeds", "selected_by"
            }  # fmt: skip
            assert 0.4 < method["student_accuracy"] < 1
            assert method["seeds"] == [0, 1]
            assert method["selected_by"] == "oracle"


def test_a_page_is_made_of_the_finished_sweep_and_says_what_json_says(folder: Path, answer: str) -> None:
    report = json.loads(w2s("report", "quickstart", "quickstart", "--json", "--html", "page.html", cwd=folder))
    assert report[0] == report[1] == json.loads(answer)
    page = (folder / "page.html").read_text(encoding="utf-8")
    (folder / "page.html").unlink()
    for pairing in report[0]["pairings"]:
        for method in pairing["methods"]:
            assert f"{100 * method['student_accuracy']:.1f} % [" in page
    results = w2s_ray.load("quickstart", store=folder / "w2s-runs").results
    best = max(report[0]["pairings"][0]["methods"], key=lambda method: method["student_accuracy"])
    assert best["student_accuracy"] in results["student"].tolist()


def test_every_stage_was_started_once(folder: Path) -> None:
    lines = (folder / "w2s-runs/sweeps/quickstart/starts.jsonl").read_text(encoding="utf-8").splitlines()
    addresses = [json.loads(line)["address"] for line in lines]
    assert len(addresses) == len(set(addresses)) == len(list((folder / "w2s-runs/stages").iterdir()))


def test_status_counts_trials_and_models(folder: Path) -> None:
    status = json.loads(w2s("status", "quickstart", "--json", cwd=folder))
    assert status["sweep"] == "quickstart"
    assert status["state"] == "finished"
    assert status["trials"] == {"complete": 9, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert status["stages"]["trained"] > 0
    assert status["stages"]["reused"] > status["stages"]["trained"] / 2


def test_running_again_plans_nothing_trains_nothing_and_gives_the_same_answer(folder: Path, answer: str) -> None:
    store = folder / "w2s-runs"
    before = {path: path.stat().st_mtime_ns for path in (store / "stages").rglob("*")}
    plan = json.loads(w2s("plan", "quickstart.yaml", "--json", cwd=folder))
    assert plan["stages"]["to_run"] == 0
    assert plan["stages"]["stored"] == len(list((store / "stages").iterdir()))
    w2s("resume", "quickstart", cwd=folder)
    assert {path: path.stat().st_mtime_ns for path in (store / "stages").rglob("*")} == before
    assert w2s("report", "quickstart", "--json", cwd=folder) == answer


def test_the_disk_that_the_plan_forecasts_is_what_the_sweep_takes(folder: Path, tmp_path: Path) -> None:
    planned = make_plan(load_spec(Store(folder / "w2s-runs"), "quickstart"), Store(tmp_path))
    taken = sum(path.stat().st_size for path in (folder / "w2s-runs/stages").rglob("*") if path.is_file())
    assert planned.bytes is not None
    assert 0.5 < planned.bytes / taken < 2


def test_mlflow_holds_each_trial_and_each_trained_stage_once(folder: Path) -> None:
    store = Store(folder / "w2s-runs")
    record = load_record(store, load_spec(store, "quickstart"))
    with sqlite3.connect(store.root / "mlflow.db") as database:
        kinds = database.execute("select value, count(*) from tags where key = 'kind' group by value").fetchall()
        open_runs = database.execute("select count(*) from runs where status = 'RUNNING'").fetchone()[0]
    trained = {address for trial in record.trials for of_role in trial.stages.values() for address in of_role}
    assert dict(kinds) == {"sweep": 1, "trial": 9, "stage": len(trained)}
    assert open_runs == 0


def mlflow_trials(database: Path) -> dict[int, tuple[dict[str, float], dict[str, str]]]:
    """Metrics and params of each trial's run, read from MLflow's file."""
    with sqlite3.connect(database) as connection:
        trials = "select run_uuid from tags where key = 'kind' and value = 'trial'"
        asked = f"select run_uuid, value from tags where key = 'trial' and run_uuid in ({trials})"
        runs = connection.execute(asked).fetchall()
        metrics, params = (
            {
                run: dict(connection.execute(f"select key, value from {table} where run_uuid = ?", (run,)))
                for run, _ in runs
            }
            for table in ("latest_metrics", "params")
        )
    return {int(number): (metrics[run], params[run]) for run, number in runs}


def test_study_store_mlflow_json_pandas_and_page_say_the_same_numbers(folder: Path, answer: str) -> None:
    store = Store(folder / "w2s-runs")
    loaded = w2s_ray.load("quickstart", store=store.root)
    told = json.loads(answer)
    page = (store.sweep_folder("quickstart") / "report" / "report.html").read_text(encoding="utf-8")
    shown = mlflow_trials(store.root / "mlflow.db")
    same = partial(pytest.approx, rel=1e-12)
    for trial in loaded.record.trials:
        metrics, params = shown[trial.number]
        assert {judge: metrics[f"validation_{judge}"] for judge in trial.values} == trial.values
        assert loaded.trials.loc[trial.number, ["oracle", "weak_labels"]].tolist() == list(trial.values.values())
        assert {name: json.loads(params[name]) if not isinstance(value, str) else params[name]
                for name, value in trial.params.items()} == trial.params  # fmt: skip
        for role in ("weak", "student", "ceiling"):
            stages = [store.get(address) for address in trial.stages[role]]
            measured = fmean(stage.record.summary["test_accuracy"] for stage in stages)
            assert metrics[f"{role}_accuracy"] == same(measured)
    results = loaded.results.set_index(["pairing", "method"])
    for pairing in told["pairings"]:
        name = f"{pairing['weak']}→{pairing['strong']}"
        for method in pairing["methods"]:
            row = results.loc[(name, method["method"])]
            metrics, params = shown[row["trial"]]
            assert method["student_accuracy"] == row["student"] == same(metrics["student_accuracy"])
            assert pairing["weak_accuracy"] == row["weak_accuracy"] == same(metrics["weak_accuracy"])
            assert pairing["ceiling_accuracy"] == row["ceiling_accuracy"] == same(metrics["ceiling_accuracy"])
            if method["pgr"] is not None:
                assert method["pgr"] == row["pgr"] == same(metrics["pgr"])
                assert f"{method['pgr']:.2f} [{method['pgr_low']:.2f}, {method['pgr_high']:.2f}]" in page
            assert f"{100 * method['student_accuracy']:.1f} % [" in page
            assert method["params"]["lr"] == json.loads(params["lr"])


def test_the_notebook_finds_the_sweep_from_its_own_folder_and_shows_what_the_report_says(
    folder: Path, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("W2S_CACHE", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    remember(Store(folder / "w2s-runs"))  # as `w2s run` did, but where other tests have no sweeps of that name
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept: they would grow old"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert [one for outputs in shown.values() for one in outputs if one.get("name") == "stderr"] == []
    told = json.loads(answer)
    table = shown["results"][0].data["text/plain"]
    for method in (one for pairing in told["pairings"] for one in pairing["methods"]):
        assert f"{method['student_accuracy']:.3f}" in table
    for name in ("figure", "curve"):
        assert "image/png" in shown[name][0].data


def test_the_best_student_is_exported_and_gives_what_was_measured(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from w2s_ray.stages.artifacts import EXAMPLES, Examples

    importlib.import_module("w2s_ray.export.w2s_student")  # tells transformers of the model's type
    store = Store(folder / "w2s-runs")
    record = load_record(store, load_spec(store, "quickstart"))
    best = max(record.trials, key=lambda trial: (trial.values["oracle"], -trial.number))
    told = w2s("export", "quickstart", "--seed", "1", "--register", "best", "--to", str(tmp_path / "out"), cwd=folder)
    assert f"trial {best.number} ({best.method}, {best.pairing}), seed 1: {tmp_path / 'out'}" in told
    assert "MLflow model: models:/m-" in told
    stage = store.get(best.stages["student"][1])
    stored = stage.predictions().of("test")
    examples = Examples.read(store.get(stage.record.identity["inputs"]["examples"]).file(EXAMPLES))
    texts = dict(zip(examples.ids.tolist(), examples.texts, strict=True))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    served = model.classify([texts[name] for name in stored.ids], AutoTokenizer.from_pretrained(tmp_path / "out"))
    assert abs(served.numpy() - stored.probabilities).max() < 1e-4


def test_nothing_but_the_store_is_left_behind(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["quickstart.yaml", "w2s-runs"]
    assert not list((folder / "w2s-runs/work").glob("*"))


def test_what_a_finished_sweep_lost_is_made_again_to_the_letter(folder: Path, answer: str) -> None:
    store = Store(folder / "w2s-runs")
    record = load_record(store, load_spec(store, "quickstart"))
    students = [student for trial in record.trials[:3] for student in trial.stages["student"]]
    cut, *altered = (store.get(student).file("predictions.parquet") for student in dict.fromkeys(students))
    before = [path.read_bytes() for path in (cut, *altered)]
    cut.write_bytes(before[0][:-100])
    lost = attempt("report", "quickstart", "--json", cwd=folder)
    assert (lost.returncode, "w2s resume" in lost.stderr, "Traceback" in lost.stderr) == (1, True, False)
    blocked = store.work(cut.parent.name)
    blocked.write_text("in the way", encoding="utf-8")
    failed = attempt("resume", "quickstart", cwd=folder)
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False), failed.stderr
    assert "what a finished trial lost cannot be made again: " in failed.stderr
    blocked.unlink()
    for path, content in zip(altered, before[1:], strict=True):
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    w2s("resume", "quickstart", cwd=folder)  # only the report looks into files
    assert [path.read_bytes() for path in (cut, *altered)] == before
    assert w2s("report", "quickstart", "--json", cwd=folder) == answer


def test_a_report_for_which_there_is_no_room_ends_with_what_to_do(
    folder: Path, disk_of: Callable[..., Path], tmp_path: Path
) -> None:
    disk = disk_of("48m", "w2s-runs")
    shutil.copytree(folder / "w2s-runs", disk, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow*", "report"))
    with (disk / "filler").open("wb", buffering=0) as filler:
        while shutil.disk_usage(disk).free > 40_000:
            filler.write(bytes(4096))
    done = attempt("resume", "quickstart", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert (
        f"w2s: the store {disk} is full (writing the report: No space left on device). Free some space" in done.stderr
    )


@pytest.mark.slow
def test_the_same_spec_gives_the_same_numbers_from_an_empty_store_also_if_tune_is_begun_anew_every_two_trials(
    alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "quickstart.yaml").write_text(yaml.dump(reduced_quickstart()), encoding="utf-8")
    rounds = "from w2s_ray.search import rounds; rounds._trials_a_round = lambda parallelism: 2"
    command = [sys.executable, "-c", f"{rounds}; from w2s_ray.cli import main; main()", "run", "quickstart.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=400)
    first, second = Store(alone / "w2s-runs"), Store(tmp_path / "w2s-runs")
    assert numbers(load_record(second, load_spec(second, "quickstart"))) == numbers(
        load_record(first, load_spec(first, "quickstart"))
    )


@pytest.mark.slow
def test_a_bad_student_is_pruned_and_told_so_with_its_values(tmp_path: Path) -> None:
    sweep = reduced_quickstart(
        methods={"naive": {}},
        space={"lr": {"choice": [1e-3, 1e-6]}, "epochs": {"choice": [3, 40]}},
        search={"trials": 18, "parallelism": 2, "pruner": {"kind": "median", "startup_trials": 1}},
    )
    (tmp_path / "pruned.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    w2s("run", "pruned.yaml", cwd=tmp_path)
    store = Store(tmp_path / "w2s-runs")
    record = load_record(store, load_spec(store, "quickstart"))
    pruned = [trial for trial in record.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.intermediate and not trial.values for trial in pruned)
    assert {trial.state for trial in record.trials} == {"pruned", "complete"}
    assert not list((store.root / "work").glob("*"))


@pytest.mark.slow
def test_every_method_runs_in_ray_and_is_shown_and_reported(decoder: Path, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {method: {} for method in DEFAULTS}
    settings["naive"] = {
        "labels.probe": "knn-filter",
        "labels.neighbours": 5,
        "labels.keep": 0.8,
        "labels.harden": True,
    }
    settings["bootstrap"] = {"fresh": True, "loss": "product"}
    settings["prompt"] = {"shots": 2}
    strong = {"source": str(decoder), "max_length": 32, "baseline": {"epochs": 2, "eval_every": 5}}
    sweep = reduced_quickstart(search={"trials": len(DEFAULTS)})
    sweep = replace(
        sweep,
        models={**sweep.models, "minilm-5": strong},
        pairings=({"weak": "minilm-0", "strong": "minilm-5", "intermediates": ("minilm-1",)},),
        methods=settings,
        space={},
        seeds=(0,),
    )
    (tmp_path / "all.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    w2s("run", "all.yaml", cwd=tmp_path)
    store = Store(tmp_path / "w2s-runs")
    record = load_record(store, load_spec(store, "quickstart"))
    assert [(trial.method, trial.state, trial.error) for trial in record.trials] == [
        (method, "complete", None) for method in DEFAULTS
    ]
    told = json.loads(w2s("report", "quickstart", "--json", cwd=tmp_path))
    assert [answer["method"] for answer in told["pairings"][0]["methods"]] == list(DEFAULTS)
    with sqlite3.connect(store.root / "mlflow.db") as database:
        trials = "select run_uuid from tags where key = 'kind' and value = 'trial'"
        shown = database.execute(f"select value from tags where key = 'method' and run_uuid in ({trials})").fetchall()
    assert sorted(method for (method,) in shown) == sorted(DEFAULTS)


def with_a_model_that_cannot_be(sweep: Sweep) -> Sweep:
    """Gives the bootstrap chains a model with more layers than MiniLM has."""
    broken = replace(sweep.models["minilm-2"], depth=99)
    return replace(sweep, models={**sweep.models, "minilm-2": broken})


@pytest.mark.slow
def test_a_trial_that_fails_is_a_result_with_a_reason_and_not_the_end(tmp_path: Path) -> None:
    sweep = reduced_quickstart(search={"trials": 6}, methods={"naive": {}, "bootstrap": {}}, space=LR)
    (tmp_path / "failing.yaml").write_text(yaml.dump(with_a_model_that_cannot_be(sweep)), encoding="utf-8")
    w2s("run", "failing.yaml", cwd=tmp_path)
    status = json.loads(w2s("status", "quickstart", "--json", cwd=tmp_path))
    assert status["trials"] == {"complete": 3, "pruned": 0, "failed": 3, "running": 0, "waiting": 0}
    told = w2s("status", "quickstart", cwd=tmp_path)
    assert "failed  trials 3, 4, 5: ValueError: depth must be within [0, 6], the number of layers, got 99" in told
    assert ", in truncate\n" in told  # the traceback, from the process that failed


def test_a_sweep_whose_trials_all_fail_stops_and_says_why(tmp_path: Path) -> None:
    sweep = reduced_quickstart(search={"failures_in_a_row": 2, "parallelism": 2}, methods={"bootstrap": {}}, space=LR)
    (tmp_path / "failing.yaml").write_text(yaml.dump(with_a_model_that_cannot_be(sweep)), encoding="utf-8")
    done = attempt("run", "failing.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "trials failed in a row, the last with ValueError" in done.stderr
    assert "99" in done.stderr
    assert "Traceback" not in done.stderr
    with sqlite3.connect(tmp_path / "w2s-runs/mlflow.db") as database:
        assert "RUNNING" not in {status for (status,) in database.execute("select status from runs")}


def test_more_than_the_machine_has_is_refused_before_anything_starts(tmp_path: Path) -> None:
    more = {"gpus": 64, "memory": 1e6, "accelerator": "none-such", "custom": {"cheap": 0.5}}
    sweep = reduced_quickstart(resources={"default": {"cpus": 4096, **more}})
    (tmp_path / "large.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    done = attempt("run", "large.yaml", cwd=tmp_path)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    for asked in ("4096 CPU", "64 GPU", "1e+06 GB memory", "accelerator none-such", "0.5 cheap"):
        assert f"asks for {asked}, this machine has" in said
    assert [path.name for path in tmp_path.iterdir()] == ["large.yaml"]
