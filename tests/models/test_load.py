from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from w2s_ray.assets import dimensions_of, locate
from w2s_ray.models.load import load_backbone, load_classifier, load_tokenizer
from w2s_ray.spec.model import Model
from w2s_ray.training.inputs import TextInputs

ARCHITECTURES = ("bert", "llama", "qwen2", "gpt_neox", "gpt2")
LAYERS = 3
TEXTS = ["zero one two three", "zero", "four five zero"]


def batch(folder: Path) -> dict[str, torch.Tensor]:
    inputs = TextInputs(TEXTS, load_tokenizer(folder), 16)
    return inputs.batch(torch.arange(3).numpy(), "cpu")


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("depth", [*range(LAYERS + 1), None])
def test_a_model_cut_at_depth_k_returns_hidden_states_k_of_the_whole_one(
    folders: dict[str, Path], name: str, depth: int | None
) -> None:
    whole = AutoModel.from_pretrained(folders[name]).eval()
    inputs = batch(folders[name])
    with torch.no_grad():
        states = whole(**inputs, output_hidden_states=True).hidden_states
        cut = load_backbone(folders[name], depth)(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    assert len(states) == LAYERS + 1
    torch.testing.assert_close(cut[real], states[-1 if depth is None else depth][real], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_that_is_left_is_trained(folders: dict[str, Path], name: str) -> None:
    network, _ = load_classifier(folders[name], Model(source=name, depth=2), 2)
    network(batch(folders[name])).square().sum().backward()
    untouched = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert untouched == []


@pytest.mark.parametrize("depth", [LAYERS + 1, -1])
def test_a_depth_beyond_the_layers_is_refused_with_their_number(folders: dict[str, Path], depth: int) -> None:
    with pytest.raises(ValueError, match=rf"within \[0, {LAYERS}\].*got {depth}"):
        load_backbone(folders["bert"], depth)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    BertModel(BertConfig(num_hidden_layers=1, hidden_size=16, num_attention_heads=2)).config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="convert them to safetensors"):
        load_backbone(tmp_path)


def test_several_gguf_files_are_refused_with_their_names(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.gguf, b\.gguf"):
        load_backbone(tmp_path)


def test_a_gguf_file_without_its_packages_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install gguf accelerate"):
        load_backbone(tmp_path)


def test_a_tokenizer_without_a_padding_token_pads_with_the_end_of_text(folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(folders["gpt2"])
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_text_of_token_zero_is_classified_alone_as_in_a_padded_batch(
    folders: dict[str, Path], name: str, pooling: str
) -> None:
    torch.manual_seed(0)
    network, tokenizer = load_classifier(folders[name], Model.model_validate({"source": name, "pooling": pooling}), 2)
    inputs = TextInputs(["one zero zero", "one two three four five six seven"], tokenizer, 16)
    rows = torch.arange(2).numpy()
    with torch.no_grad():
        together, alone = network.eval()(inputs.batch(rows, "cpu")), network(inputs.batch(rows[:1], "cpu"))
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_head_follows_the_seed_and_does_not_begin_at_zero(folders: dict[str, Path]) -> None:
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(load_classifier(folders["bert"], Model(source="bert"), 2)[0].head.linear.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].abs().min() > 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_size_of_a_model_is_known_without_loading_it(folders: dict[str, Path], name: str) -> None:
    whole = AutoModel.from_pretrained(folders[name])
    size = dimensions_of(str(folders[name]))
    assert size is not None
    assert (size.layers, size.width) == (LAYERS, whole.config.hidden_size)
    assert size.parameters == sum(parameter.numel() for parameter in whole.parameters())


def test_the_catalogue_gives_the_size_of_the_model_and_of_its_cuts() -> None:
    size = dimensions_of("minilm")
    assert size is not None
    for depth in (0, 3, None):
        cut = load_backbone(locate("minilm"), depth)
        parameters = sum(parameter.numel() for parameter in cut.parameters())
        assert size.parameters_at(depth) == pytest.approx(parameters, rel=0.02)
