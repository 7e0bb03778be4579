"""Label stages on a real store: what they change, what they must not, and what the student then trains on."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from w2s_ray.labels import Labels
from w2s_ray.spec import Loss, Splits, Sweep, Training, replace
from w2s_ray.spec.task import Columns
from w2s_ray.stages.artifacts import EXAMPLES, FEATURES, PREDICTIONS, Examples, Predictions
from w2s_ray.stages.finetune import _labels, train_alone
from w2s_ray.stages.operations import Flip, Harden, Keep, Mean, Operation, Part, Probe, PutTruth, Temper
from w2s_ray.stages.relabel import relabel_stage
from w2s_ray.stages.stage import ExtractFeatures, Finetune, LoadExamples, ModelIdentity, Relabel, Stage
from w2s_ray.stages.store import Store

MODEL = ModelIdentity(weights="made up", depth=1, pooling="mean", max_length=16)
SIZES = {"weak": 60, "student": 200, "validation": 80, "test": 90}
OPERATIONS: list[Operation] = [
    Flip(structure="random", rate=0.2, seed=0),
    Flip(structure="longest", rate=None, seed=0),
    Flip(structure="ceiling-unconfident", rate=None, seed=0),
    Temper(temperature=3.0),
    Probe(model="knn", action="filter", strength=5, dropped=0.1),
    Probe(model="knn", action="relabel", strength=5, dropped=0),
    Probe(model="logistic", action="filter", strength=0.01, dropped=0.1),
    Probe(model="logistic", action="relabel", strength=0.01, dropped=0),
    PutTruth(fraction=0.3, seed=0),
    Keep(share=0.4),
    Harden(),
    Part(part=0, of=2),
]


class World:
    """A stored task with features, two weak supervisors and a ceiling."""

    def __init__(self, store: Store, other_later_columns: bool = False) -> None:
        self.store = store
        draw = np.random.default_rng(0)
        splits = np.repeat(list(SIZES), list(SIZES.values()))
        count = len(splits)
        self.examples = Examples(
            ids=np.array([f"{number:016x}" for number in draw.permutation(count)]),
            texts=["word " * int(size) for size in draw.integers(1, 30, count)],
            classes=draw.integers(0, 2, count).astype(np.int64),
            splits=splits,
            class_names=("no", "yes"),
        )
        settings = LoadExamples(
            source="made up",
            test_source=None,
            columns=Columns(),
            splits=Splits(weak=60, student=200, validation=80, test=90),
            seed=0,
        )
        self.task = Stage(settings)
        self.features = Stage(ExtractFeatures(model=MODEL), {"examples": self.task})
        vectors = draw.normal(size=(count, 6)) + 2 * self.examples.classes[:, None]
        vectors[:, 2:] *= draw.normal(size=(count, 4)) ** 2 if other_later_columns else 1
        with store.publish(self.task) as draft:
            self.examples.write(draft.path / EXAMPLES)
        with store.publish(self.features) as draft:
            save_file({"features": vectors.astype(np.float32)}, draft.path / FEATURES)
        self.weak, self.other = self._model("weak", 0, 0.25), self._model("weak", 1, 0.25)
        self.ceiling = self._model("student", 0, 0.05)

    def _model(self, half: Any, seed: int, wrong: float) -> Stage:
        """Stores the predictions of a model that errs so often."""
        stage = Stage(self._settings(half, seed), {"examples": self.task, "features": self.features})
        draw = np.random.default_rng(seed + 10)
        rows = np.flatnonzero(self.examples.splits != "weak")
        classes = self.examples.classes[rows]
        said = np.where(draw.random(len(rows)) < wrong, 1 - classes, classes)
        sure = draw.uniform(0.5, 1, len(rows))
        positive = np.where(said == 1, sure, 1 - sure)
        made = np.stack([1 - positive, positive], axis=1).astype(np.float32)
        with self.store.publish(stage) as draft:
            Predictions(self.examples.ids[rows], self.examples.splits[rows], made).write(draft.path / PREDICTIONS)
        return stage

    @staticmethod
    def _settings(half: Any, seed: int) -> Finetune:
        training = Training(lr=1e-2, epochs=2, batch_size=16)
        return Finetune(model=MODEL, train="head", half=half, loss=Loss(), training=training, seed=seed)

    def relabel(self, operation: Operation, **inputs: Stage) -> Stage:
        """Makes and stores a labels stage; what an operation reads besides the weak labels is put in."""
        known = inputs or {"labels": self.weak}
        if isinstance(operation, Probe):
            known["features"] = self.features
        if isinstance(operation, Flip) and operation.structure.startswith("ceiling"):
            known["ceiling"] = self.ceiling
        stage = Stage(Relabel(operation=operation), {"examples": self.task, **known})
        with self.store.publish(stage) as draft:
            predictions, draft.summary = relabel_stage(stage, self.store)
            predictions.write(draft.path / PREDICTIONS)
        return stage

    def student(self, labels: Stage, features: int | None = None) -> Stage:
        inputs = {"examples": self.task, "features": self.features, "labels": labels}
        return Stage(replace(self._settings("student", 0), features=features), inputs)

    def predictions(self, stage: Stage) -> Predictions:
        return self.store.get(stage.address).predictions()

    def learns(self, labels: Stage) -> tuple[Labels, dict[str, Labels]]:
        """What a student of these labels is trained on, and what judges it."""
        student = self.student(labels)
        assert isinstance(student.settings, Finetune)
        return _labels(student, student.settings, self.store, self.examples)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Store(tmp_path))


def name_of(operation: Operation) -> str:
    return "-".join(str(value) for value in operation.model_dump().values())


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_validation_and_test_keep_the_supervisors_labels(world: World, operation: Operation) -> None:
    """The released code relabels and filters validation too, and so selects models by altered labels."""
    before, after = world.predictions(world.weak), world.predictions(world.relabel(operation))
    for split in ("validation", "test"):
        assert after.of(split).ids.tolist() == before.of(split).ids.tolist()
        assert (after.of(split).probabilities == before.of(split).probabilities).all()
    student, given = after.of("student"), before.of("student")
    assert len(student.ids) < len(given.ids) or (student.probabilities != given.probabilities).any()


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_what_judges_a_student_is_the_weak_supervisor_and_never_altered_labels(
    world: World, operation: Operation
) -> None:
    _, plain = world.learns(world.weak)
    _, judges = world.learns(world.relabel(operation))
    assert (judges["supervisor"].probabilities == plain["supervisor"].probabilities).all()
    assert (judges["truth"].probabilities == plain["truth"].probabilities).all()


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_labels_that_ground_truth_had_a_part_in_reach_the_student_under_that_name(
    world: World, operation: Operation
) -> None:
    stage = world.relabel(operation)
    expected = isinstance(operation, PutTruth) or (isinstance(operation, Flip) and operation.rate is None)
    assert world.learns(stage)[0].know_truth == expected
    assert world.store.get(stage.address).record.summary["knows_truth"] == expected
    assert world.learns(world.relabel(Harden(), labels=stage))[0].know_truth == expected


@pytest.mark.parametrize("structure", ["random", "longest", "shortest", "ceiling-unconfident", "ceiling-confident"])
def test_simulated_supervisors_err_exactly_as_often_as_the_real_one(world: World, structure: Any) -> None:
    rows = world.examples.rows("student")
    truth = world.examples.classes[rows]
    weak = world.predictions(world.weak).of("student").probabilities.argmax(axis=1)
    made = world.predictions(world.relabel(Flip(structure=structure, rate=None, seed=0))).of("student")
    wrong = made.probabilities.argmax(axis=1) != truth
    assert wrong.sum() == (weak != truth).sum()
    lengths = np.array([len(world.examples.texts[row]) for row in rows])
    if structure == "longest":
        assert lengths[wrong].min() >= lengths[~wrong].max()
    if structure == "shortest":
        assert lengths[wrong].max() <= lengths[~wrong].min()


def test_the_mean_of_two_supervisors_labels_everything(world: World) -> None:
    made = world.predictions(world.relabel(Mean(), **{"labels 1": world.weak, "labels 2": world.other}))
    both = [world.predictions(stage).probabilities for stage in (world.weak, world.other)]
    assert made.probabilities == pytest.approx((both[0] + both[1]) / 2, abs=1e-6)
    assert set(made.splits) == {"student", "validation", "test"}


def test_a_student_trains_on_those_examples_alone_that_kept_a_label(world: World) -> None:
    kept = world.relabel(Keep(share=0.4))
    labels, _ = world.learns(kept)
    summary = world.store.get(kept.address).record.summary
    assert summary["labels"] == len(labels.ids) == pytest.approx(80, abs=1)
    assert summary["examples"] == 200
    order = [name for name in world.examples.ids[world.examples.rows("student")] if name in set(labels.ids)]
    assert labels.ids.tolist() == order


def test_a_filter_shortens_the_training_and_not_what_is_predicted(world: World) -> None:
    kept = world.relabel(Keep(share=0.4))
    ids = set(world.predictions(kept).of("student").ids.tolist())
    rows: list[dict[str, Any]] = []
    trained = train_alone(world.student(kept), world.store, report=rows.append)
    steps = 2 * -(-len(ids) // 16)  # two epochs over the examples that are left
    assert rows[-1]["step"] == steps
    assert len(trained.predictions.of("student").ids) == 200


def test_the_parts_of_the_half_are_disjoint_and_together_all_of_it(world: World) -> None:
    parts = [world.predictions(world.relabel(Part(part=part, of=3))).of("student").ids.tolist() for part in range(3)]
    assert sorted(itertools.chain(*parts)) == sorted(world.examples.ids[world.examples.rows("student")].tolist())
    assert min(map(len, parts)) > 40


def test_an_operation_on_filtered_labels_sees_those_that_are_left(world: World) -> None:
    kept = world.relabel(Keep(share=0.5))
    before = world.predictions(kept).of("student").ids.tolist()
    for operation in OPERATIONS:
        after = world.predictions(world.relabel(operation, labels=kept)).of("student").ids.tolist()
        assert set(after) <= set(before)


def test_a_sweep_that_filters_labels_runs_through_broker_and_store(ray: Any, small: Sweep) -> None:
    from w2s_ray.methods import Experiment, Parts, stages_of
    from w2s_ray.stages.broker import start_broker

    params = {"labels.ensemble": "seeds", "labels.probe": "knn-filter", "labels.keep": 0.5, "labels.harden": True}
    roles = stages_of(Parts(small), Experiment(0, small.pairings[0].name, "naive", params, default=False))
    store = Store(small.store)
    ray.get(start_broker(store, small.name).produce.remote(roles["student"][0], 0))
    labels = store.get(roles["student"][0].inputs["labels"].address)
    assert labels.record.summary["labels"] == pytest.approx(0.9 * 0.5 * 200, abs=2)
    assert set(np.unique(labels.predictions().of("student").probabilities)) == {0.0, 1.0}
    assert store.get(roles["student"][0].address).record.summary["test_accuracy"] > 0.5


def test_a_head_on_the_first_features_reads_no_other(world: World, tmp_path: Path) -> None:
    """The ladder of appendix E.1: with the columns beyond made different, the same model comes out."""
    made = []
    for number, later in enumerate((False, True)):
        store = Store(tmp_path / str(number))
        other = World(store, other_later_columns=later)
        made.append(train_alone(other.student(other.weak, features=2), store).predictions.probabilities)
    assert (made[0] == made[1]).all()


def test_more_features_than_there_are_is_a_mistake(world: World) -> None:
    with pytest.raises(ValueError, match="at most 6"):
        train_alone(world.student(world.weak, features=7), world.store)
