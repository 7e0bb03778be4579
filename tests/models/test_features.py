from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from w2s_ray.models.features import extract, read_features
from w2s_ray.models.load import load_tokenizer
from w2s_ray.spec.model import Model
from w2s_ray.training.errors import DeviceOutOfMemory
from w2s_ray.training.inputs import TextInputs

LAYERS, WIDTH = 3, 16
TEXTS = ["one two three four five six", "", "zero", "seven one", "zero zero zero", "two " * 20]


def plain(folder: Path, depth: int | None, text: str, pooling: str, max_length: int) -> np.ndarray:
    """The twin: one text at a time, the whole model, no padding."""
    ids = load_tokenizer(folder)(text, truncation=True, max_length=max_length)["input_ids"] or [2]
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    state = states[-1 if depth is None else depth][0]
    return (state.mean(dim=0) if pooling == "mean" else state[-1]).numpy()


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("depths", [(0, 2), (1, None), (LAYERS,)])
def test_one_pass_gives_at_every_depth_what_each_text_alone_gives(
    folders: dict[str, Path], name: str, pooling: str, depths: tuple[int | None, ...]
) -> None:
    model = Model.model_validate({"source": name, "pooling": pooling, "max_length": 8})
    features = extract(folders[name], model, depths, TEXTS)
    assert list(features) == list(depths)
    for depth in depths:
        assert features[depth].shape == (len(TEXTS), WIDTH)
        assert features[depth].dtype == np.float32
        expected = np.stack([plain(folders[name], depth, text, pooling, 8) for text in TEXTS])
        np.testing.assert_allclose(features[depth], expected, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_the_batches(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(source="bert")
    together = extract(folders["bert"], model, [2], TEXTS)[2]
    monkeypatch.setattr("w2s_ray.models.features._TOKENS", {"cpu": 1})
    alone = extract(folders["bert"], model, [2], TEXTS[::-1])[2][::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_the_same_call_gives_the_same_bits(folders: dict[str, Path]) -> None:
    first, second = (extract(folders["llama"], Model(source="llama"), [None], TEXTS)[None] for _ in range(2))
    assert np.array_equal(first, second)


def test_mixed_precision_is_near_and_not_the_same(folders: dict[str, Path]) -> None:
    model = Model(source="bert")
    full = extract(folders["bert"], model, [1], TEXTS)[1]
    mixed = extract(folders["bert"], model, [1], TEXTS, precision="bfloat16")[1]
    assert mixed.dtype == np.float32
    assert not np.array_equal(full, mixed)
    np.testing.assert_allclose(full, mixed, atol=0.1)


def test_progress_ends_at_all_texts_and_never_falls(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2s_ray.models.features._TOKENS", {"cpu": 8})
    seen: list[tuple[int, int]] = []
    extract(folders["bert"], Model(source="bert"), [0], TEXTS, on_progress=lambda *now: seen.append(now))
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (len(TEXTS), len(TEXTS))


def test_no_depth_is_a_mistake(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="at least one depth"):
        extract(folders["bert"], Model(source="bert"), [], TEXTS)


def test_a_full_device_says_what_would_help(folders: dict[str, Path]) -> None:
    class Full(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = AutoModel.from_pretrained(folders["bert"]).config

        def forward(self, **batch: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    inputs = TextInputs(TEXTS, load_tokenizer(folders["bert"]), 16)
    with pytest.raises(DeviceOutOfMemory, match="give the stage more of a GPU"):
        read_features(Full(), inputs, Model(source="bert"), [None])
