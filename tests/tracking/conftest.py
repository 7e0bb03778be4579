"""A sweep that was never run but looks as if: real stages published into a real store, trials that point to them."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2s_ray.search.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SweepRecord, TrialRecord
from w2s_ray.spec import Columns, Loss, Splits, Sweep, Training
from w2s_ray.stages.artifacts import EXAMPLES, PREDICTIONS, Examples, Predictions
from w2s_ray.stages.fingerprint import address_of
from w2s_ray.stages.stage import Execution, Finetune, LoadExamples, ModelIdentity, Stage
from w2s_ray.stages.store import Store

sys.path.insert(0, str(Path(__file__).parent))  # for `servers`

START = 1_790_000_000.0
TEST = {"weak": 0.70, "ceiling": 0.80, "student": 0.75}
SWEEP: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {f"minilm-{depth}": {"source": "minilm", "depth": depth} for depth in (0, 1, 2)},
    "pairings": [{"weak": "minilm-0", "strong": "minilm-1"}, {"weak": "minilm-0", "strong": "minilm-2"}],
    "methods": ["naive", "confidence"],
    "space": {"lr": {"log_uniform": [1e-4, 1e-2]}, "alpha": {"uniform": [0, 0.9], "when": {"method": "confidence"}}},
    "seeds": [0, 1],
    "search": {"trials": 4},
}


@dataclass
class FakeSweep:
    """Makes records; every stage that a trial names is published as if it had been trained."""

    store: Store
    sweep: Sweep
    steps: int = 4

    def publish(self, role: str, model: str, seed: int, lr: float = 1e-3, alpha: float = 0.0) -> str:
        identity = ModelIdentity(weights=f"sha of {role}", depth=int(model[-1]), pooling="mean", max_length=8)
        settings = Finetune(
            model=identity,
            train="head",
            half="weak" if role == "weak" else "student",
            loss=Loss(alpha=alpha),
            training=Training(lr=lr),
            seed=seed,
        )
        stage = Stage(settings, {"examples": self.examples()}, Execution(label=f"{role} {model} seed {seed}"))
        if not self.store.has(stage.address):
            self._fill(stage, TEST[role] + 0.01 * seed)
        return stage.address

    def examples(self) -> Stage:
        splits = Splits(weak=40, student=40, validation=40, test=40)
        settings = LoadExamples(source="movie-reviews@1", test_source=None, columns=Columns(), splits=splits, seed=0)
        stage = Stage(settings)
        if not self.store.has(stage.address):
            with self.store.publish(stage) as draft:
                draft.summary = {"splits": splits.model_dump(), "class_names": ["negative", "positive"]}
                ids = [f"{number:03d}" for number in range(40)]
                rows = (np.asarray(ids), ["bad, film"] * 40, np.arange(40) % 2, np.asarray(["test"] * 40))
                Examples(*rows, ("negative", "positive")).write(draft.path / EXAMPLES)
        return stage

    def _fill(self, stage: Stage, accuracy: float) -> None:
        rows = [
            {"step": 10 * n, "train_loss": 1 / n, "validation_accuracy": accuracy - 0.1 / n, "lr": 1e-3, "alpha": 0.0}
            for n in range(1, self.steps + 1)
        ]
        with self.store.publish(stage, made_by=self.sweep.name) as draft:
            (draft.path / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            scores = np.linspace(0, 1, 40, dtype=np.float32)
            ids, splits = np.asarray([f"{number:03d}" for number in range(40)]), np.asarray(["test"] * 40)
            Predictions(ids, splits, np.stack([scores, 1 - scores], axis=1)).write(draft.path / PREDICTIONS)
            draft.summary = {**rows[-1], "test_accuracy": accuracy}
            draft.usage = [{"time": START, "process_cpu_percentage": 90.0}]
            draft.seconds = {"loop": 1.5, "stage": 2.0}

    def trial(self, number: int, state: str = COMPLETE, **changes: Any) -> TrialRecord:
        pairing = self.sweep.pairings[number % len(self.sweep.pairings)]
        method = list(self.sweep.methods)[number // len(self.sweep.pairings) % len(self.sweep.methods)]
        params: dict[str, Any] = {"lr": 1e-3 * (number + 1)}
        if method == "confidence":
            params.update(alpha=0.6, alpha_warmup=0.2)
        trial = TrialRecord(
            number=number,
            pairing=pairing.name,
            weak=pairing.weak,
            strong=pairing.strong,
            method=method,
            params=params,
            default=number < 4,
            state=state,
            values={"oracle": 0.7 + 0.01 * number, "weak": 0.8} if state == COMPLETE else {},
            intermediate={10: 0.6, 20: 0.65},
            stages=self._stages(pairing.weak, pairing.strong, params, state),
            started=START + 100 * number,
            finished=None if state in (RUNNING, INTERRUPTED) else START + 100 * number + 50,
            error="ValueError: the student diverged" if state == FAILED else None,
        )
        return replace(trial, **changes)

    def _stages(self, weak: str, strong: str, params: Mapping[str, Any], state: str) -> dict[str, tuple[str, ...]]:
        seeds = self.sweep.seeds
        stages = {
            "weak": tuple(self.publish("weak", weak, seed) for seed in seeds),
            "ceiling": tuple(self.publish("ceiling", strong, seed) for seed in seeds),
        }
        if state != COMPLETE:
            return {**stages, "student": tuple(f"{seed:032x}" for seed in seeds)}
        alpha = params.get("alpha", 0.0)
        students = (self.publish("student", strong, seed, params["lr"], alpha) for seed in seeds)
        return {**stages, "student": tuple(students)}

    def record(self, *states: str, **changes: Any) -> SweepRecord:
        """A record with one trial per state; `t3={...}` changes fields of trial 3."""
        trials = [self.trial(number, state, **changes.get(f"t{number}", {})) for number, state in enumerate(states)]
        study = address_of(self.sweep.model_dump()["space"])
        return SweepRecord(self.sweep, tuple(trials), self.store, study, history="mine")


@pytest.fixture(scope="session")
def make_fake() -> Callable[[Path], FakeSweep]:
    """A function that returns a sweep whose store lies in a folder."""
    return lambda folder: FakeSweep(Store(folder / "store"), Sweep.model_validate(SWEEP))


@pytest.fixture
def fake(make_fake: Callable[[Path], FakeSweep], tmp_path: Path) -> FakeSweep:
    return make_fake(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sqlite file with MLflow's tables: making them takes seconds, copying them nothing."""
    from w2s_ray.tracking.client import connect

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    connect(f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def new_uri(empty_database: Path, tmp_path: Path) -> Callable[[], str]:
    """A function that returns the URI of an empty MLflow."""
    made: list[Path] = []

    def make() -> str:
        path = tmp_path / f"mlflow-{len(made)}.db"
        shutil.copy(empty_database, path)
        made.append(path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def uri(new_uri: Callable[[], str]) -> str:
    return new_uri()


class Shown:
    """What MLflow shows of an experiment, for comparing."""

    def __init__(self, uri: str, experiment: str = "small") -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(experiment)
        self.runs = list(self.client.search_runs([found.experiment_id], max_results=5000)) if found else []

    def of(self, kind: str) -> list[Any]:
        runs = [run for run in self.runs if run.data.tags["kind"] == kind]
        return sorted(runs, key=lambda run: (run.info.run_name, run.data.tags.get("w2s.address", "")))

    def content(self) -> list[Any]:
        """Everything about every run but the ids that MLflow gives, whole metric histories included."""
        return sorted(self._content(run) for run in self.runs)

    def ids(self) -> set[str]:
        return {run.info.run_id for run in self.runs}

    def history(self, run: Any, key: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, key)]

    def _content(self, run: Any) -> tuple[Any, ...]:
        names = {one.info.run_id: one.data.tags["w2s.key"] for one in self.runs}
        tags = {
            key: names.get(value, value.replace(run.info.run_id, "RUN"))
            for key, value in run.data.tags.items()
            if key not in ("w2s.digest", "w2s.report", "w2s.spec", "w2s.predictions")
        }
        inputs = sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs)
        histories = {
            key: sorted((m.step, m.timestamp, m.value) for m in self.client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
        }
        info = run.info
        times = (info.run_name, info.status, info.start_time, info.end_time or 0)
        return (*times, sorted(run.data.params.items()), sorted(tags.items()), sorted(histories.items()), inputs)


@pytest.fixture(scope="session")
def shown() -> type[Shown]:
    return Shown
