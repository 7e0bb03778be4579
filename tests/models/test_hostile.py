"""A model's folder is data: whatever it holds, nothing of it is run, and what is refused is told."""

import json
import pickle
import shutil
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from w2s_ray.models.load import load_backbone, load_tokenizer


class _Evil:
    def __init__(self, touched: Path) -> None:
        self._touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self._touched)!r}, 'w').close()",)


@pytest.fixture
def folder(decoder: Path, tmp_path: Path) -> Path:
    """A whole model, to be spoilt."""
    shutil.copytree(decoder, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    """A file that code of the folder would make."""
    return tmp_path / "touched"


def changed(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_an_index_that_names_a_pickle_runs_nothing_of_it(folder: Path, touched: Path) -> None:
    (folder / "evil.bin").write_bytes(pickle.dumps(_Evil(touched)))
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": {"embed_tokens.weight": "evil.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(Exception, match=r"."):  # torch's or pickle's own
        load_backbone(folder)
    assert not touched.exists()


def test_code_that_a_config_or_a_tokenizer_names_is_not_run(folder: Path, touched: Path) -> None:
    evil = f"open({str(touched)!r}, 'w').close()"
    (folder / "evil.py").write_text(evil, encoding="utf-8")
    changed(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.A", "AutoModel": "evil.B"})
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_backbone(folder)
    changed(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.C", None]}, tokenizer_class="C")
    with suppress(ValueError):  # or what of it is known is taken as it is
        load_tokenizer(folder)
    assert not touched.exists()


def test_an_adapter_beside_the_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "elsewhere")}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="adapter"):
        load_backbone(folder)


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 1 << 30) + b"{}",
        struct.pack("<Q", 70)
        + b'{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}'.ljust(70)
        + b"0000",
    ],
)
def test_a_header_that_promises_more_than_there_is_is_refused_without_memory_for_it(
    folder: Path, header: bytes
) -> None:
    (folder / "model.safetensors").write_bytes(header)
    with pytest.raises((SafetensorError, OSError, ValueError)):
        load_backbone(folder)


def test_weights_that_were_cut_short_are_told_with_where_they_are(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=f"{folder}: its weights cannot be read"):
        load_backbone(folder)
