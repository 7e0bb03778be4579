"""What an exported folder computes, against what the store says that the student predicted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from w2s_ray.export.choice import Chosen, choose_student
from w2s_ray.export.folder import ExportError, write_folder
from w2s_ray.search.record import SweepRecord
from w2s_ray.stages.collect import drop_file

Finished = Callable[..., SweepRecord]
Tested = Callable[[Chosen], tuple[list[str], Any]]

WAYS: dict[str, dict[str, Any]] = {
    "head on a cut encoder": {"train": "head", "depth": 1},
    "head on the first features": {"train": "head", "features": 5},
    "logistic on embeddings": {"train": "logistic", "depth": 0},
    "all weights": {"train": "full"},
    "top layer": {"train": "top", "depth": 1},
    "all after a probe": {"train": "lp-ft"},
    "adapter": {"train": "lora", "depth": 1},
    "adapter on a whole decoder": {"train": "lora", "architecture": "llama", "pooling": "last"},
    "cut decoder, which has no final norm": {"train": "full", "architecture": "llama", "depth": 1},
    "head on a decoder's last token": {"train": "head", "architecture": "llama", "pooling": "last"},
    "mixed precision": {"train": "full", "baseline": {"precision": "bfloat16"}},
}


def quiet(text: str) -> None:
    """Hears nothing."""


def classify(folder: Path, texts: list[str], **options: Any) -> Any:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model.classify(texts, AutoTokenizer.from_pretrained(folder), **options).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_gives_the_stored_test_predictions(
    finished: Finished, tested: Tested, way: str, tmp_path: Path
) -> None:
    chosen = choose_student(finished(**WAYS[way]))
    write_folder(chosen, tmp_path / "out", quiet)
    texts, stored = tested(chosen)
    assert stored[:, 0].std() > 0.01  # a constant would be easy
    tolerance = 2e-2 if way == "mixed precision" else 1e-5
    for batch_size in (1, 64):
        np.testing.assert_allclose(classify(tmp_path / "out", texts, batch_size=batch_size), stored, atol=tolerance)


def test_transformers_alone_loads_the_folder_where_w2s_ray_is_not_installed(
    finished: Finished, tested: Tested, tmp_path: Path
) -> None:
    chosen = choose_student(finished(train="full"), seed=1)
    write_folder(chosen, tmp_path / "out", quiet)
    texts, stored = tested(chosen)
    code = """
import json, sys
sys.modules["w2s_ray"] = None  # importing it is an error
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
try:
    AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
except ValueError as error:
    print("refused", file=sys.stderr)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
print(json.dumps([model.config.id2label, model.classify(texts, tokenizer).tolist()]))
"""
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out"), json.dumps(texts)],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    names, served = json.loads(done.stdout)
    assert names == {"0": "bad", "1": "good"}
    assert "refused" in done.stderr  # never a wrong number with a warning
    np.testing.assert_allclose(served, stored, atol=1e-5)


def test_nothing_in_a_folder_is_pickled_and_a_reader_is_told_how_to_load_it(finished: Finished, tmp_path: Path) -> None:
    write_folder(choose_student(finished()), tmp_path / "out", quiet)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "w2s_student.py", "README.md"} <= names
    assert {path.suffix for path in (tmp_path / "out").iterdir()} <= {".json", ".safetensors", ".py", ".md"}
    assert "Test accuracy" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_an_empty_and_a_long_text_are_treated_as_in_training(finished: Finished, tmp_path: Path) -> None:
    write_folder(choose_student(finished(architecture="llama")), tmp_path / "out", quiet)
    assert np.isfinite(classify(tmp_path / "out", ["", "fine"])).all()
    once, twice = classify(tmp_path / "out", ["fine film " * 4, "fine film " * 8])  # 8 tokens are kept
    np.testing.assert_allclose(once, twice)
    assert classify(tmp_path / "out", []).shape == (0, 2)


def test_weights_that_gc_removed_are_trained_again_to_the_same_numbers(finished: Finished, tmp_path: Path) -> None:
    chosen = choose_student(finished(train="full"))
    store = chosen.record.store
    drop_file(store.place(chosen.stage.address), "weights.safetensors")
    said: list[str] = []
    assert write_folder(chosen, tmp_path / "out", said.append) < 1e-5
    assert "`w2s gc` removed the weights of student strong seed 0; training it again" in said[0]
    assert not store.work(chosen.stage.address).exists()


def test_an_export_that_gives_other_numbers_is_not_left_behind(finished: Finished, tmp_path: Path) -> None:
    record = finished(train="full")
    first, other = choose_student(record, seed=0), choose_student(record, seed=1)
    weights = record.store.get(other.stage.address).file("weights.safetensors").read_bytes()
    with pytest.raises(ExportError, match=r"differs by .* from the stored test predictions, so nothing was written"):
        _write_with(first, tmp_path / "out", weights)
    assert list(tmp_path.iterdir()) == []


def _write_with(chosen: Chosen, place: Path, weights: bytes) -> None:
    """Exports with other weights, as if training them again had come out differently."""
    from safetensors.torch import load

    from w2s_ray.export import folder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "trained_weights", lambda *_: load(weights))
        write_folder(chosen, place, quiet)


def test_an_earlier_export_is_replaced_and_anything_else_is_not(finished: Finished, tmp_path: Path) -> None:
    record = finished()
    write_folder(choose_student(record, seed=0), tmp_path / "out", quiet)
    write_folder(choose_student(record, seed=1), tmp_path / "out", quiet)
    config = json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))
    assert config["w2s_stage"] == choose_student(record, seed=1).stage.address
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(ExportError, match="holds something else; name another folder with --to"):
        write_folder(choose_student(record), tmp_path / "mine", quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]
