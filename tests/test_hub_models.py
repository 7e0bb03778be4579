"""Ladders by short name: the same model as id and commit written out, and nothing is asked of a hub."""

import json
import re
from pathlib import Path

import pytest

from w2s_ray import hub_models
from w2s_ray.assets import dimensions_of, fingerprint_of
from w2s_ray.hub_models import HUB_MODELS


@pytest.mark.parametrize("name", HUB_MODELS)
def test_every_model_is_pinned_and_its_size_is_possible(name: str) -> None:
    model = HUB_MODELS[name]
    assert re.fullmatch(r"[0-9a-f]{40}", model.revision)
    size = model.dimensions
    # A layer holds about 12 width^2, Qwen's up to half as much again; up to 152,064 embeddings come once or twice.
    layers = 12 * size.layers * size.width**2
    assert 0.8 * layers < size.parameters < 1.6 * layers + 2 * 152_064 * size.width
    assert model.megabytes is None or model.megabytes > 1.9 * size.parameters / 1e6


def test_no_commit_stands_at_two_models() -> None:
    assert len({model.revision for model in HUB_MODELS.values()}) == len(HUB_MODELS)


def test_a_short_name_is_the_same_model_as_id_and_commit_written_out() -> None:
    model = HUB_MODELS["pythia-410m"]
    assert fingerprint_of("pythia-410m") == fingerprint_of(model.repository, model.revision)
    assert fingerprint_of("pythia-410m", "0" * 40) == f"hub:{model.repository}@{'0' * 40}"
    assert dimensions_of("pythia-410m") == dimensions_of(model.repository, "0" * 40) == model.dimensions


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pythia-410m").mkdir()
    (tmp_path / "pythia-410m" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    assert fingerprint_of("pythia-410m").startswith("folder@")


def test_a_slip_in_a_short_name_is_answered_with_the_name() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'qwen2\.5-7b'"):
        fingerprint_of("qwen2.5-7")


def test_a_model_is_cached_once_all_its_shards_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = HUB_MODELS["pythia-12b"]
    assert not hub_models.is_cached(model)
    folder = tmp_path / "models--EleutherAI--pythia-12b" / "snapshots" / model.revision
    folder.mkdir(parents=True)
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    index = {"weight_map": {f"layer.{number}": shard for number, shard in enumerate(shards)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    for name in ("config.json", *shards[:2]):
        (folder / name).touch()
    assert not hub_models.is_cached(model)
    (folder / shards[2]).touch()
    assert hub_models.is_cached(model)
