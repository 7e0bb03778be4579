"""A store with real stages whose predictions are constructed, so that every number of the report is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from w2s_ray.report import write_everything
from w2s_ray.report.analyses import Analysis, analyse
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord
from w2s_ray.spec import Columns, Loss, Splits, Sweep, Training
from w2s_ray.spec.method import Value
from w2s_ray.stages.artifacts import CURVE, EXAMPLES, PREDICTIONS, Examples, Predictions, write_lines
from w2s_ray.stages.stage import Finetune, LoadExamples, ModelIdentity, Stage
from w2s_ray.stages.store import Store

Correct = NDArray[np.bool_]
NUM_VALIDATION = 40


def first(fraction: float, num_test: int = 400) -> Correct:
    """Right on the first part of the test examples, wrong on the rest."""
    return np.arange(num_test) < round(fraction * num_test)


def sweep_of(root: Path, seeds: int, objective: str, confirm: int = 0) -> Sweep:
    return Sweep.model_validate(
        {
            "name": "made-up",
            "task": {"source": "movie-reviews", "splits": {"weak": 2, "student": 2, "validation": 2}},
            "models": {name: {"source": "minilm", "depth": depth} for depth, name in enumerate(("a", "b", "c"))},
            "pairings": [
                {"weak": "a", "strong": "c", "intermediates": ["b"]},
                {"weak": "b", "strong": "c", "intermediates": ["a"]},
            ],
            "methods": ["naive", "confidence", "bootstrap"],
            "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
            "seeds": seeds,
            "objective": objective,
            "search": {"confirm": confirm},
            "store": str(root),
        }
    )


@dataclass
class World:
    """Collects trials of constructed models."""

    sweep: Sweep
    store: Store
    num_test: int = 400
    trials: list[TrialRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        splits = Splits(weak=2, student=2, validation=2)
        settings = LoadExamples(source="made up", test_source=None, columns=Columns(), splits=splits, seed=0)
        self.examples_stage = Stage(settings)
        splits_of = np.array(["validation"] * NUM_VALIDATION + ["test"] * self.num_test)
        count = len(splits_of)
        ids = np.array([f"{number * 7919 % 10007:05d}" for number in range(count)])
        self.examples = Examples(ids, ["text"] * count, np.arange(count) % 2, splits_of, ("bad", "good"))
        with self.store.publish(self.examples_stage) as draft:
            self.examples.write(draft.path / EXAMPLES)

    def model(self, name: str, correct: Correct, seeds: tuple[int, ...] | None = None) -> tuple[str, ...]:
        """Publishes a model; `correct` has shape (test examples,) or (seeds, test examples). Rows are shuffled."""
        seeds = seeds or self.sweep.seeds
        table = np.broadcast_to(correct, (len(seeds), self.num_test))
        return tuple(self._publish(name, seed, row) for seed, row in zip(seeds, table, strict=True))

    def _publish(self, name: str, seed: int, correct: Correct) -> str:
        identity = ModelIdentity(weights=name, depth=None, pooling="mean", max_length=8)
        settings = Finetune(model=identity, train="head", half="student", loss=Loss(), training=Training(), seed=seed)
        stage = Stage(settings, {"examples": self.examples_stage})
        if self.store.has(stage.address):
            return stage.address
        with self.store.publish(stage) as draft:
            self._predictions(correct, seed).write(draft.path / PREDICTIONS)
            rows = [
                {"step": step, "validation_accuracy": accuracy, "validation_agreement": agreement}
                for step, accuracy, agreement in ((50, 0.7, 0.8), (100, 0.72, 0.85), (150, 0.68, 0.9), (200, 0.66, 0.9))
            ]
            write_lines(draft.path / CURVE, rows)
        return stage.address

    def _predictions(self, correct: Correct, seed: int) -> Predictions:
        right = np.concatenate([first(float(correct.mean()), NUM_VALIDATION), correct])
        predicted = np.where(right, self.examples.classes, 1 - self.examples.classes)
        probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1).astype(np.float32)
        order = np.random.default_rng(seed).permutation(len(predicted))
        return Predictions(self.examples.ids[order], self.examples.splits[order], probabilities[order])

    def trial(
        self,
        method: str,
        student: Correct,
        oracle: float = 0.7,
        weak: float = 0.7,
        default: bool = False,
        pairing: int = 0,
        state: str = COMPLETE,
        params: Mapping[str, Value] | None = None,
        models: tuple[float, float] = (0.6, 0.8),
    ) -> TrialRecord:
        """Adds a trial; weak model and ceiling are right on the first `models` of the test examples."""
        number, pair = len(self.trials), self.sweep.pairings[pairing]
        is_done = state == COMPLETE
        stages = {
            "weak": self.model(f"weak {pair.weak}", first(models[0], self.num_test)),
            "ceiling": self.model(f"ceiling {pair.name}", first(models[1], self.num_test)),
            "student": self.model(f"student {number}", student),
        }
        trial = TrialRecord(
            number=number,
            pairing=pair.name,
            weak=pair.weak,
            strong=pair.strong,
            method=method,
            params=params or {"lr": 1e-3},
            default=default,
            state=state,
            values={"oracle": oracle, "weak": weak} if is_done else {},
            intermediate={50: oracle - 0.02, 100: oracle},
            stages=stages if is_done else {},
            started=0.0,
            finished=1.0,
        )
        self.trials.append(trial)
        return trial

    def confirm(self, number: int, student: Correct, models: tuple[float, float] = (0.6, 0.8)) -> Confirmation:
        """Gives trial `number` a complete confirmation."""
        trial, seeds = self.trials[number], self.sweep.fresh_seeds
        stages = {
            "weak": self.model(f"weak {trial.weak}", first(models[0], self.num_test), seeds),
            "ceiling": self.model(f"ceiling {trial.pairing}", first(models[1], self.num_test), seeds),
            "student": self.model(f"student {number}", student, seeds),
        }
        made = Confirmation(seeds, stages, COMPLETE)
        self.trials[number] = replace(trial, confirmation=made)
        return made

    def record(self) -> SweepRecord:
        return SweepRecord(self.sweep, tuple(self.trials), self.store)


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    def make(seeds: int = 3, objective: str = "oracle", confirm: int = 0) -> World:
        root = tmp_path / f"store-{seeds}-{objective}-{confirm}"
        return World(sweep_of(root, seeds, objective, confirm), Store(root))

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()


@pytest.fixture
def right_on() -> Callable[..., Correct]:
    return first


@pytest.fixture
def full_world(world: World) -> World:
    return filled(world)


@pytest.fixture(scope="session")
def full_analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """What `full_world` comes to; made once, since drawing all of it takes seconds."""
    root = tmp_path_factory.mktemp("full")
    return analyse(filled(World(sweep_of(root, 3, "oracle"), Store(root))).record())


@pytest.fixture(scope="session")
def full_page(full_analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `full_analysis` in its folder, with all other files of the report."""
    return write_everything(full_analysis, tmp_path_factory.mktemp("report"))


def filled(world: World) -> World:
    """Two pairings, all methods, defaults, a pruned and a failed trial; numbers in a realistic range."""
    rng = np.random.default_rng(5)
    methods = tuple(world.sweep.methods)
    for number in range(24):
        pairing, method = number % 2, methods[number // 2 % 3]
        quality = 0.66 + 0.02 * (number // 2 % 3) + 0.004 * rng.integers(-5, 6)
        student = np.stack([first(quality + 0.005 * luck, 400) for luck in rng.integers(-1, 2, size=3)])
        student ^= rng.random(student.shape) < 0.03
        state = {17: "pruned", 20: "failed"}.get(number, COMPLETE)
        world.trial(
            method,
            student,
            oracle=float(student[:, ::2].mean()),
            weak=float(0.95 - abs(quality - 0.67)),
            default=number < 6,
            pairing=pairing,
            state=state,
            params={"lr": float(10 ** rng.uniform(-4, -2)), "epochs": int(rng.integers(2, 15))},
        )
    return world
