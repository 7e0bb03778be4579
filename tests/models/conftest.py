"""Tiny random pretrained models on disk, one per architecture, made as transformers would save them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from making import save_word_tokenizer
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXModel,
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen2Model,
)

LAYERS, WIDTH = 3, 16
_SIZES: dict[str, Any] = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": 2, "vocab_size": 12}
_WIDE: dict[str, Any] = _SIZES | {"intermediate_size": 32, "max_position_embeddings": 64}
_MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: BertModel(BertConfig(**_WIDE)),
    "llama": lambda: LlamaModel(LlamaConfig(**_WIDE, num_key_value_heads=1)),
    "qwen2": lambda: Qwen2Model(Qwen2Config(**_WIDE, num_key_value_heads=1)),
    "gpt_neox": lambda: GPTNeoXModel(GPTNeoXConfig(**_WIDE)),
    "gpt2": lambda: GPT2Model(GPT2Config(n_layer=LAYERS, n_embd=WIDTH, n_head=2, vocab_size=12, n_positions=64)),
}
WORDS = ["zero", "[UNK]", "<eos>", "one", "two", "three", "four", "five", "six", "seven"]  # "zero" has id 0


def save_tokenizer(folder: Path) -> None:
    """Saves a tokenizer of whole words that, like GPT-2's, has no padding token and a real token 0."""
    save_word_tokenizer(folder, WORDS)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with weights and tokenizer per architecture."""
    root = tmp_path_factory.mktemp("pretrained")
    for name, build in _MODELS.items():
        torch.manual_seed(0)
        model = build()
        for parameter in model.parameters():  # norms begin at 1: a missing one would hardly be seen
            torch.nn.init.normal_(parameter, std=0.5)
        model.save_pretrained(root / name)
        save_tokenizer(root / name)
    return {name: root / name for name in _MODELS}
