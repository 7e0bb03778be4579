"""Every way to train a model, from a table and a tiny pretrained folder to the stage's files, without Ray."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import make, save_word_tokenizer
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaModel

from w2s_ray.methods import Parts
from w2s_ray.spec import Sweep
from w2s_ray.spec.model import OPTIONS
from w2s_ray.stages.artifacts import EXAMPLES, PREDICTIONS, WEIGHTS, Examples, Predictions
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

GOOD, BAD, OTHER = ["fine", "great", "lovely"], ["poor", "awful", "dull"], ["a", "film", "the", "it", "plot"]
SPLITS = {"weak": 60, "student": 80, "validation": 40, "test": 40}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of reviews, whose words say the class, and a tiny pretrained model."""
    root = tmp_path_factory.mktemp("finetune")
    words = ["[UNK]", "<eos>", *GOOD, *BAD, *OTHER]
    save_word_tokenizer(root / "tiny", words)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "vocab_size": 13}
    LlamaModel(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2)).save_pretrained(root / "tiny")
    draw, rows = random.Random(0), set()
    while len(rows) < 500:
        label = len(rows) % 2
        said = draw.choices(GOOD if label else BAD, k=2) + draw.choices(OTHER, k=4)
        draw.shuffle(said)
        rows.add((" ".join(said), label))
    table = "".join(f"{text},{label}\n" for text, label in sorted(rows))
    (root / "reviews.csv").write_text(f"text,label\n{table}", encoding="utf-8")
    return root


def parts_of(place: Path, strong: dict[str, Any]) -> Parts:
    model = {"source": str(place / "tiny"), "max_length": 16}
    baseline = {"lr": 1e-2, "epochs": 5, "batch_size": 16, "eval_every": 10}
    return Parts(
        Sweep.model_validate(
            {
                "name": "ways",
                "task": {"source": str(place / "reviews.csv"), "splits": SPLITS},
                "models": {
                    "weak": {**model, "depth": 0, "train": "logistic"},
                    "strong": {**model, "baseline": {**baseline, **strong.pop("baseline", {})}, **strong},
                },
                "pairings": [{"weak": "weak", "strong": "strong"}],
                "methods": ["naive"],
                "seeds": [0],
                "search": {"trials": 1},
            }
        )
    )


def made(stage: Stage, store: Store) -> dict[str, Any]:
    """Makes a stage and what it reads; returns its summary."""
    make(stage, store)
    return dict(store.get(stage.address).record.summary)


def student(parts: Parts, **params: Any) -> Stage:
    return parts.student("strong", parts.baseline("weak", "weak", 0, "weak"), params, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("train", OPTIONS)
def test_a_student_of_every_kind_learns_from_the_weak_labels_and_predicts_all_splits(
    place: Path, store: Store, train: str
) -> None:
    options = {"neighbours": 5} if train == "knn" else {}
    stage = student(parts_of(place, {"train": train, **options}))
    summary = made(stage, store)
    assert summary["test_accuracy"] > 0.7
    assert {"step", "train_loss", "validation_agreement", "student_accuracy"} <= set(summary)
    predictions = Predictions.read(store.get(stage.address).file(PREDICTIONS))
    assert [int((predictions.splits == split).sum()) for split in ("student", "validation", "test")] == [80, 40, 40]
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_neighbour_student_predicts_its_own_texts_without_their_labels(place: Path, store: Store) -> None:
    parts = parts_of(place, {"train": "knn", "neighbours": 1})
    ceiling = parts.baseline("strong", "student", 0, "ceiling")
    make(ceiling, store)
    predictions = Predictions.read(store.get(ceiling.address).file(PREDICTIONS)).of("student")
    examples = Examples.read(store.get(parts.examples.address).file(EXAMPLES))
    right = predictions.probabilities.argmax(axis=1) == examples.classes[examples.rows("student")]
    assert 0.5 < right.mean() < 1


def test_of_an_adapted_model_only_the_adapter_and_the_head_are_kept(place: Path, store: Store) -> None:
    stage = student(parts_of(place, {"train": "lora", "lora_rank": 2}))
    make(stage, store)
    weights = load_file(store.get(stage.address).file(WEIGHTS))
    assert all("lora_" in name or name.startswith("head.") for name in weights)


def test_full_training_after_a_probe_starts_where_the_probe_ended(place: Path, store: Store) -> None:
    short = {"lr": 1e-9, "epochs": 1}
    probe = student(parts_of(place, {"train": "logistic", "l2": 0.01}))
    after = student(parts_of(place, {"train": "lp-ft", "l2": 0.01, "baseline": short}))
    make(probe, store)
    make(after, store)
    first, second = (Predictions.read(store.get(stage.address).file(PREDICTIONS)) for stage in (probe, after))
    np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-4)


def test_the_summary_tells_of_the_weights_that_count(place: Path, store: Store) -> None:
    stage = student(parts_of(place, {}), select="weak", lr=0.3)
    summary = made(stage, store)
    curve = store.get(stage.address).curve()
    best = max(row["validation_agreement"] for row in curve)
    assert summary["validation_agreement"] == best
    assert summary["step"] == next(row["step"] for row in curve if row["validation_agreement"] == best)


def test_settings_of_a_training_are_no_part_of_a_probe_that_has_none(place: Path) -> None:
    parts = parts_of(place, {"train": "logistic"})
    assert student(parts, lr=0.1, epochs=7, ema=0.5) == student(parts)
    assert student(parts, smoothing=0.1) != student(parts)


def test_a_process_that_trains_heads_on_features_does_not_wait_for_transformers() -> None:
    code = "import sys, w2s_ray.stages.finetune; print(sorted({'transformers', 'mlflow', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
