"""Addresses change with meaning and with nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.spec import Frozen, Loss, Resources, Splits, Training
from w2s_ray.spec.task import Columns
from w2s_ray.stages.fingerprint import address_of, canonical_json
from w2s_ray.stages.operations import Flip, Keep, Part, Probe, PutTruth, Temper
from w2s_ray.stages.stage import (
    Execution,
    ExtractFeatures,
    Finetune,
    LoadExamples,
    ModelIdentity,
    Prompt,
    Relabel,
    Settings,
    Stage,
    walk,
)

MODEL = ModelIdentity(weights="minilm@abc", depth=2, pooling="mean", max_length=128)
SETTINGS: list[Settings] = [
    LoadExamples(
        source="reviews@abc",
        test_source=None,
        columns=Columns(),
        splits=Splits(weak=4, student=4, validation=4),
        seed=0,
    ),
    ExtractFeatures(model=MODEL),
    Finetune(model=MODEL, train="head", half="weak", loss=Loss(), training=Training(), seed=0),
    Prompt(model=MODEL, template="{text}", shots=2, shot_labels="weak", seed=0),
    Relabel(operation=Flip(structure="random", rate=0.1, seed=0)),
    Relabel(operation=Probe(model="knn", action="filter", strength=50, dropped=0.1)),
    Relabel(operation=PutTruth(fraction=0.1, seed=0)),
    Relabel(operation=Keep(share=0.5)),
    Relabel(operation=Temper(temperature=2)),
    Relabel(operation=Part(part=0, of=2)),
]
OTHER: dict[str, Any] = {
    "source": "other",
    "test_source": "other",
    "text": "body",
    "label": "class",
    "group": "author",
    "weights": "other@def",
    "pooling": "last",
    "precision": "bfloat16",
    "train": "full",
    "half": "student",
    "schedule": "cosine",
    "name": "product",
    "radius": 0.3,
    "select": "weak",
    "template": "other {text}",
    "shot_labels": "truth",
    "operation": "another",
    "structure": "longest",
    "model": "logistic",
    "action": "relabel",
    "metric": "euclidean",
}


def variants(model: Frozen) -> list[tuple[str, Frozen]]:
    """Every model that differs from `model` in exactly one field, however deep, found by reflection."""
    found: list[tuple[str, Frozen]] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Frozen):
            found += [(f"{name}.{path}", model.model_copy(update={name: other})) for path, other in variants(value)]
            continue
        other = OTHER[name] if name in OTHER else (value or 0) + 1
        assert other != value, f"give {name!r} another value in OTHER"
        found.append((name, model.model_copy(update={name: other})))
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.kind)
def test_changing_any_identity_field_changes_the_address(settings: Settings) -> None:
    base = Stage(settings).address
    changed = {path: Stage(other).address for path, other in variants(settings)}  # type: ignore[arg-type]
    assert changed
    assert [path for path, address in changed.items() if address == base] == []
    assert len(set(changed.values())) == len(changed)


def test_changing_any_execution_field_keeps_the_address() -> None:
    base = Stage(SETTINGS[2])
    elsewhere: dict[str, Any] = {"accelerator": "A100", "memory": 9, "custom": {"cheap": 0.01}}
    other = {
        "source": "elsewhere",
        "revision": "main",
        "test_source": "elsewhere",
        "label": "another",
        "depths": (1, 2),
        "private": True,
        "resources": Resources(cpus=7, gpus=2, workers=3, micro_batch=5, checkpoint_seconds=1, **elsewhere),
    }
    assert set(other) == {field.name for field in dataclasses.fields(Execution)}, "a new field needs a value here"
    for name, value in other.items():
        assert Stage(SETTINGS[2], {}, dataclasses.replace(Execution(), **{name: value})).address == base.address


def test_all_labels_stages_of_different_operations_have_different_addresses() -> None:
    """EleutherAI's cache of weak labels and probes is keyed by no hyper-parameter."""
    assert len({Stage(settings).address for settings in SETTINGS}) == len(SETTINGS)


def test_an_input_is_part_of_the_address_and_so_is_its_role() -> None:
    first, second = Stage(SETTINGS[0]), Stage(SETTINGS[1])
    addresses = {
        Stage(SETTINGS[2]).address,
        Stage(SETTINGS[2], {"labels": first}).address,
        Stage(SETTINGS[2], {"labels": second}).address,
        Stage(SETTINGS[2], {"features": first}).address,
    }
    assert len(addresses) == 4


def test_the_version_of_a_kind_is_part_of_the_address() -> None:
    class Newer(ExtractFeatures):
        version = 99

    assert Stage(Newer(model=MODEL)).address != Stage(SETTINGS[1]).address


def test_a_new_field_at_its_default_keeps_old_addresses() -> None:
    from pydantic import Field

    class Old(Frozen):
        a: int = 1

    class New(Frozen):
        a: int = 1
        b: int = Field(default=2, json_schema_extra={"since_default": True})

    assert address_of(New()) == address_of(Old())
    assert address_of(New(b=3)) != address_of(Old())


@pytest.mark.parametrize("value", [Path("x"), object(), {1, 2}, b"bytes", {1: "int key"}, complex(1)])
def test_an_unknown_type_is_refused_instead_of_guessed(value: object) -> None:
    with pytest.raises(TypeError):
        address_of({"value": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        address_of(value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_the_order_of_keys_means_nothing(value: dict[str, Any]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_addresses_are_the_same_on_any_machine_in_any_year() -> None:
    assert Stage(SETTINGS[1]).address == "5bb1baec34f00b30161fab4902a37ce3"


def test_walking_a_graph_meets_each_stage_once_and_inputs_first() -> None:
    examples = Stage(SETTINGS[0])
    features = Stage(SETTINGS[1], {"examples": examples})
    weak = Stage(SETTINGS[2], {"examples": examples, "features": features})
    student = Stage(SETTINGS[2], {"examples": examples, "features": features, "labels": weak})
    assert list(walk(student, weak)) == [examples, features, weak, student]
