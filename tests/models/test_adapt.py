from pathlib import Path

import pytest
import torch

from w2s_ray.models.adapt import add_lora, train_top
from w2s_ray.models.head import TextClassifier
from w2s_ray.models.load import load_classifier
from w2s_ray.spec import Model

ARCHITECTURES = ["bert", "llama", "qwen2", "gpt_neox", "gpt2"]
BATCH = {"input_ids": torch.tensor([[3, 4, 5], [6, 7, 2]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}


def classifier(folder: Path, depth: int | None = None) -> TextClassifier:
    torch.manual_seed(1)
    return load_classifier(folder, Model(source="any", depth=depth), 2)[0]


def trained_of(network: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: one for name, one in network.named_parameters() if one.requires_grad}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_last_layers_what_follows_them_and_the_head_are_trained(
    folders: dict[str, Path], architecture: str
) -> None:
    network = classifier(folders[architecture])
    train_top(network, 1)
    names = set(trained_of(network))
    assert {"head.linear.weight", "head.linear.bias"} < names
    inside = {name for name in names if name.startswith("backbone")}
    assert any(".2." in name for name in inside)
    assert not any(".0." in name.split("attention")[0] or ".1." in name.split("attention")[0] for name in inside)
    assert not any("emb" in name or "wte" in name for name in inside)
    network(BATCH).sum().backward()
    assert all(one.grad is not None for one in trained_of(network).values())


def test_all_layers_are_the_most_that_can_be_trained(folders: dict[str, Path]) -> None:
    train_top(classifier(folders["llama"]), 3)
    with pytest.raises(ValueError, match=r"top_layers must be within \[1, 2\], the layers of this depth, got 3"):
        train_top(classifier(folders["llama"], depth=2), 3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_adapter_changes_nothing_at_first_and_alone_is_trained(folders: dict[str, Path], architecture: str) -> None:
    network = classifier(folders[architecture], depth=2)
    before = network(BATCH)
    add_lora(network, rank=2, alpha=4)
    torch.testing.assert_close(network(BATCH), before)
    names = set(trained_of(network))
    assert all("lora_" in name or name.startswith("head.") for name in names)
    assert {name for name in names if "lora_B" in name}
    network(BATCH)[:, 0].sum().backward()
    assert all(one.grad is not None for one in trained_of(network).values())


def test_embeddings_alone_have_nothing_to_adapt(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="lora needs a depth of 1 or more"):
        add_lora(classifier(folders["bert"], depth=0), rank=2, alpha=4)
