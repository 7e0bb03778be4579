"""Every field of a spec either changes some stage's address or changes none, and which is written down here.

A field that is in neither table fails the first test: whoever adds one decides whether it can change a number.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from w2s_ray.methods import Parts, plan_stages
from w2s_ray.spec import Sweep, yaml
from w2s_ray.spec.model import OPTIONS
from w2s_ray.stages.stage import walk

IDENTITY: dict[str, Any] = {
    "task.source": "movie-reviews",  # a file, put in by the test
    "task.test_source": None,  # likewise
    "task.revision": "0" * 40,  # on a hub data set
    "task.columns.text": "body",
    "task.columns.label": "class",
    "task.columns.group": "author",
    "task.columns.difficulty": "level",  # with difficulty: {by: column}
    "task.splits.weak": 42,
    "task.splits.student": 42,
    "task.splits.validation": 42,
    "task.splits.test": 42,
    "task.classes": ["0", "1"],
    "task.balance": False,
    # On a task that tells easy from hard.
    "task.difficulty.by": "rating",
    "task.difficulty.easy": 0.3,
    "task.difficulty.hard": 0.3,
    "task.seed": 7,
    "models.source": "smollm2-135m",
    "models.revision": "0" * 40,  # on a hub model
    "models.depth": 3,
    "models.pooling": "last",
    "models.max_length": 64,
    "models.train": "full",
    "models.features": 10,
    "models.baseline.lr": 5e-3,
    "models.baseline.epochs": 5,
    "models.baseline.batch_size": 16,
    "models.baseline.weight_decay": 0.2,
    "models.baseline.schedule": "cosine",
    "models.baseline.lr_warmup": 0.3,
    "models.baseline.clip": 0.5,
    "models.baseline.precision": "bfloat16",
    # These on a model with the `train` they belong to.
    "models.top_layers": 2,
    "models.lora_rank": 4,
    "models.lora_alpha": 4.0,
    "models.l2": 0.1,
    "models.neighbours": 5,
    "models.metric": "euclidean",
    "models.baseline.dropout": 0.1,
    "models.baseline.select": "weak",
    "models.baseline.ema": 0.9,
    # Where a curve is measured is where a student may be pruned, and its points are part of the result.
    "models.baseline.eval_every": 7,
    # Which experiments there are, so which stages.
    "pairings.weak": "minilm-1",
    "pairings.strong": "minilm-1",
    "pairings.intermediates": ["minilm-0"],
    "methods": {"naive": {}},
    "seeds": [0, 9],
}
"""Field to another value than that of SWEEP below: each changes an address."""

EXECUTION: dict[str, Any] = {
    "name": "another",
    "search.trials": 99,
    "search.sampler": "random",
    "search.pruner.kind": "median",
    "search.pruner.startup_trials": 9,
    "search.pruner.warmup_steps": 9,
    "search.parallelism": 9,
    "search.storage": "postgresql://me@db/studies",
    "search.seed": 9,
    "search.failures_in_a_row": 9,
    "search.confirm": 2,
    "search.budget.max_cpu_hours": 9.0,
    "search.budget.max_gpu_hours": 9.0,
    "search.budget.deadline": "9h",
    # These two with each other.
    "search.budget.max_cost": 9.0,
    "search.budget.price.cpu": 9.0,
    "search.budget.price.gpu": 9.0,
    "objective.labels": "weak",
    **{
        f"resources.{part}.{name}": value
        for part in ("default", "features", "models")
        for name, value in {
            "cpus": 3.0,
            "gpus": 1.0,
            "workers": 2,
            "min_workers": 1,
            "micro_batch": 8,
            "checkpoint_seconds": 5.0,
            "retries": 9,
            "accelerator": "A100",
            "memory": 9.0,
            "custom": {"cheap": 0.01},
        }.items()
    },
    "resources.store_patience": 9.0,
    "store": "elsewhere",
    "tracking.enabled": False,
    "tracking.uri": "sqlite:///another.db",
}
"""Field to another value: none changes an address of the same experiments."""

SPACE = {"uniform", "log_uniform", "int_", "choice", "constant", "log", "points", "when.method", "when.pairing"}
"""The space says which experiments are tried; what a trial then sets is tested by its recipes."""

SWEEP: dict[str, Any] = {
    "name": "small",
    "task": {"splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {f"minilm-{depth}": {"source": "minilm", "depth": depth} for depth in (0, 1, 2)},
    "pairings": [{"weak": "minilm-0", "strong": "minilm-2", "intermediates": ["minilm-1"]}],
    "methods": {"naive": {}, "confidence": {}, "bootstrap": {}},
    "space": {"weight_decay": {"uniform": [0, 1]}},
    "seeds": [0, 1],
    "resources": {"models": {"minilm-2": {"cpus": 1}}},
    "search": {"trials": 3},
}


def fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every leaf of a spec, however deep; mappings and lists lead to the fields of what they hold."""
    for name, field in model.model_fields.items():
        inner = held(field.annotation)
        if inner is None:
            yield ".".join((*path, name))
        else:
            yield from fields(inner, (*path, name))


def held(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for one in getattr(annotation, "__args__", ()) if (inner := held(one))), None)


def addresses(data: dict[str, Any]) -> set[str]:
    return {stage.address for stage in walk(*plan_stages(Parts(Sweep.model_validate(data))))}


def changed(data: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """The spec with one field changed; of models the strong one, of pairings the first."""
    made: dict[str, Any] = json.loads(json.dumps(data))
    node: Any = made
    *parents, last = field.split(".")
    for part in parents:
        node = node.setdefault(part, {})
        if part == "models":
            node = node["minilm-2"]
        if part == "pairings":
            node = node[0]
    node[last] = value
    return made


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    table = tmp_path / "reviews.csv"
    table.write_text("text,label,body,class,author\na,0,b,1,c\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("text,label\na,1\n", encoding="utf-8")
    return {**SWEEP, "task": {**SWEEP["task"], "source": str(table)}}


def test_every_field_of_a_spec_is_identity_or_execution() -> None:
    of_a_sweep = {name for name in fields(Sweep) if not name.startswith("space.")}
    assert of_a_sweep - set(IDENTITY) - set(EXECUTION) == set(), "can a new field change a number?"
    assert (set(IDENTITY) | set(EXECUTION)) - of_a_sweep == set(), "fields that are no more"
    assert set(IDENTITY).isdisjoint(EXECUTION)
    assert {name.removeprefix("space.") for name in fields(Sweep) if name.startswith("space.")} == SPACE


@pytest.mark.parametrize("field", [name for name in IDENTITY if name.rsplit(".", 1)[-1] != "revision"])
def test_a_field_that_can_change_a_number_changes_an_address(field: str, data: dict[str, Any], tmp_path: Path) -> None:
    value = str(tmp_path / "other.csv") if field == "task.test_source" else IDENTITY[field]
    train = next((train for train, options in OPTIONS.items() if field.removeprefix("models.") in options), None)
    if train:
        data = {**data, "methods": {"naive": {}}}
        data = changed(data, "models.train", train)
    if field.startswith("task.difficulty."):
        data = changed(changed(data, "task.source", "movie-reviews"), "task.difficulty", {"by": "length"})
    if field == "task.columns.difficulty":
        data = changed(changed(data, "task.difficulty", {"by": "column"}), field, "grade")
    other = changed(data, field, value)
    assert Sweep.model_validate(other) != Sweep.model_validate(data), "the table holds the value that it has"
    assert addresses(other) != addresses(data)


@pytest.mark.parametrize("field", EXECUTION)
def test_a_field_of_execution_changes_no_address(field: str, data: dict[str, Any]) -> None:
    if field.startswith(("search.budget.max_cost", "search.budget.price.")):
        data = changed(changed(data, "search.budget.max_cost", 1.0), "search.budget.price", {"cpu": 1.0})
    other = changed(data, field, EXECUTION[field])
    assert Sweep.model_validate(other) != Sweep.model_validate(data), "the table holds the value that it has"
    assert addresses(other) == addresses(data)


@pytest.mark.parametrize("place", ["task", "models"])
def test_the_commit_of_what_comes_from_a_hub_is_identity(place: str, data: dict[str, Any]) -> None:
    hub = changed(changed(data, f"{place}.source", "owner/name"), f"{place}.revision", "1" * 40)
    assert addresses(changed(hub, f"{place}.revision", IDENTITY[f"{place}.revision"])) != addresses(hub)


def test_data_is_known_by_its_content_not_by_its_path(data: dict[str, Any], tmp_path: Path) -> None:
    table = Path(data["task"]["source"])
    moved = tmp_path / "moved.csv"
    moved.write_bytes(table.read_bytes())
    before = addresses(data)
    assert addresses(changed(data, "task.source", str(moved))) == before
    table.write_text(table.read_text(encoding="utf-8") + "d,1,e,0,f\n", encoding="utf-8")
    assert addresses(data) != before


def test_a_model_is_known_by_what_it_is_not_by_its_name_in_the_sweep(data: dict[str, Any]) -> None:
    renamed = json.loads(json.dumps(data).replace("minilm-1", "the-middle-one"))
    assert addresses(renamed) == addresses(data)


def test_another_students_settings_leave_the_weak_supervisors_stages_where_they_are(data: dict[str, Any]) -> None:
    other = changed(data, "models.baseline.lr", 5e-3)
    shared = addresses(other) & addresses(data)
    parts = Parts(Sweep.model_validate(data))
    assert {parts.baseline("minilm-0", "weak", seed, "weak").address for seed in (0, 1)} <= shared


def test_the_quickstarts_addresses_are_those_of_the_first_release() -> None:
    """What was trained with an earlier version is found again: a new field or method moves no old address."""
    sweep = yaml.load(Path(__file__).parents[2] / "sweeps" / "quickstart.yaml")
    addresses = sorted(stage.address for stage in walk(*plan_stages(Parts(sweep))))
    digest = hashlib.sha256("".join(addresses).encode()).hexdigest()
    assert digest == "bf00d9e7417e7d306d32d8e4ed2c1a1ebc09cb22b0610d2e6f7e0dcb44909171"
