"""Sweeps of one finished trial, over a table and tiny pretrained models, whose stages were made without Ray."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import make, save_word_tokenizer
from numpy.typing import NDArray
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from w2s_ray.export import Chosen
from w2s_ray.export.choice import choose_student
from w2s_ray.export.folder import write_folder
from w2s_ray.export.mlflow_model import log_model
from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.search.record import COMPLETE, SweepRecord, TrialRecord
from w2s_ray.spec import Sweep
from w2s_ray.stages.artifacts import EXAMPLES, Examples
from w2s_ray.stages.store import Store

GOOD, BAD, OTHER = ["fine", "great", "lovely"], ["poor", "awful", "dull"], ["a", "film", "the", "it", "plot"]
_SIZES: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "vocab_size": 13}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of reviews, whose words say the class, and two tiny pretrained models."""
    root = tmp_path_factory.mktemp("export")
    words = ["[UNK]", "<eos>", *GOOD, *BAD, *OTHER]
    models: dict[str, Callable[[], Any]] = {
        "llama": lambda: LlamaModel(LlamaConfig(**_SIZES, num_attention_heads=2, num_key_value_heads=2)),
        "bert": lambda: BertModel(BertConfig(**_SIZES, num_attention_heads=2)),
    }
    for name, build in models.items():
        torch.manual_seed(0)
        model = build()
        for parameter in model.parameters():  # norms begin at 1: a missing one would hardly be seen
            parameter.data += 0.3 * torch.randn_like(parameter)
        model.save_pretrained(root / name)
        save_word_tokenizer(root / name, words)
    draw, rows = random.Random(0), set()
    while len(rows) < 500:
        label = len(rows) % 2
        said = draw.choices(GOOD if label else BAD, k=2) + draw.choices(OTHER, k=draw.randint(1, 12))
        draw.shuffle(said)
        rows.add((" ".join(said), "good" if label else "bad"))
    table = "".join(f"{text},{label}\n" for text, label in sorted(rows))
    (root / "reviews.csv").write_text(f"text,label\n{table}", encoding="utf-8")
    return root


def finished_sweep(place: Path, store: Store, method: str = "naive", **strong: Any) -> SweepRecord:
    """A sweep with one complete trial, whose strong model is changed by `strong`."""
    baseline = {"lr": 5e-3, "epochs": 6, "batch_size": 16, "eval_every": 10, **strong.pop("baseline", {})}
    model = {"source": str(place / strong.pop("architecture", "bert")), "max_length": 8}
    sweep = Sweep.model_validate(
        {
            "name": "exported",
            "task": {
                "source": str(place / "reviews.csv"),
                "splits": {"weak": 60, "student": 80, "validation": 40, "test": 40},
            },
            "models": {
                "weak": {**model, "depth": 0, "train": "logistic"},
                "strong": {**model, "baseline": baseline, **strong},
            },
            "pairings": [{"weak": "weak", "strong": "strong"}],
            "methods": [method],
            "seeds": [0, 1],
            "search": {"trials": 1},
            "store": str(store.root),
        }
    )
    stages = stages_of(Parts(sweep), Experiment(0, "weak→strong", method, {}, default=True))
    for of_role in stages.values():
        for stage in of_role:
            make(stage, store)
    addresses = {role: tuple(stage.address for stage in of_role) for role, of_role in stages.items()}
    trial = TrialRecord(
        number=0,
        pairing="weak→strong",
        weak="weak",
        strong="strong",
        method=method,
        params={},
        default=True,
        state=COMPLETE,
        values={"oracle": 0.7, "weak": 0.8},
        intermediate={},
        stages=addresses,
        started=1.0,
        finished=2.0,
    )
    return SweepRecord(sweep, (trial,), store, study="0123456789abcdef")


@pytest.fixture(scope="session")
def finished(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SweepRecord]:
    """A function that makes a finished sweep in a store of its own."""
    return lambda method="naive", **strong: finished_sweep(
        place, Store(tmp_path_factory.mktemp("store")), method, **strong
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, finished: Callable[..., SweepRecord]) -> tuple[Chosen, str]:
    """A student, and the URI of its model, which is registered as `reviews`; mlflow's own default is as before."""
    chosen = choose_student(finished(train="full"), seed=1)
    folder = tmp_path_factory.mktemp("export") / "out"
    write_folder(chosen, folder, lambda text: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        uri = log_model(chosen, folder, "reviews")
        assert not {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"} & set(os.environ)
    return chosen, uri


@pytest.fixture(scope="session")
def tested() -> Callable[[Chosen], tuple[list[str], NDArray[np.float32]]]:
    """A function that returns the texts of the test split with the probabilities that are stored of a student."""
    return _tested


def _tested(chosen: Chosen) -> tuple[list[str], NDArray[np.float32]]:
    store = chosen.record.store
    examples = Examples.read(store.get(chosen.stage.inputs["examples"].address).file(EXAMPLES))
    predictions = store.get(chosen.stage.address).predictions().of("test")
    texts = dict(zip(examples.ids.tolist(), examples.texts, strict=True))
    return [texts[name] for name in predictions.ids.tolist()], predictions.probabilities
