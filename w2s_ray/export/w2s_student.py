"""A student as transformers knows models. This file travels with every export, so it imports nothing of w2s_ray.

    logits = W ((pool(backbone(tokens)) - mean) / deviation) + b

The classes that transformers has compute something else: BERT's reads one token through a tanh layer, a decoder's has
no bias and looks for padding by token id. Loading such a folder as one of them would draw a new head and give wrong
numbers with a warning; so it has a model type of its own, and a plain transformers refuses it unless it may run this
file (`trust_remote_code=True`), or `w2s_ray.export.w2s_student` was imported.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_FINAL_NORMS = ("norm", "ln_f", "final_norm", "final_layer_norm", "final_layernorm")


class StudentConfig(PretrainedConfig):  # type: ignore[misc]
    """What a student is made of; classes are named by `id2label`.

    Args:
        pretrained: configuration of the pretrained network, cut to its depth.
        final_norm: whether the norm after a decoder's last layer is kept; a cut one has none.
        pooling: `mean` over the tokens that the attention mask allows, or the `last` of them.
        features: how many of the pooled columns the head reads; None for all.
        max_tokens: kept of a text.
        precision: of the backbone, `float32`, or `bfloat16` for mixed precision.
        head_precision: of the head, likewise.
    """

    model_type = "w2s_student"

    def __init__(
        self,
        pretrained: dict[str, Any] | None = None,
        final_norm: bool = True,
        pooling: str = "mean",
        features: int | None = None,
        max_tokens: int = 128,
        precision: str = "float32",
        head_precision: str = "float32",
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.pretrained = pretrained or {}
        self.final_norm = final_norm
        self.pooling = pooling
        self.features = features
        self.max_tokens = max_tokens
        self.precision = precision
        self.head_precision = head_precision


class StudentHead(nn.Module):
    """Logits (n, classes) from pooled states (n, width or more), of which it standardizes the first `width`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, pooled: Tensor) -> Tensor:
        """Returns logits."""
        features = (pooled[:, : self.linear.in_features] - self.mean) / self.deviation
        logits: Tensor = self.linear(features)
        return logits


class StudentForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """Logits from tokens, as the student gave them when it was tested."""

    config_class = StudentConfig
    base_model_prefix = "backbone"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        inner = AutoConfig.for_model(**config.pretrained)
        self.backbone = AutoModel.from_config(inner, attn_implementation="sdpa")
        if hasattr(self.backbone, "pooler"):
            self.backbone.pooler = None
        for name in () if config.final_norm else _FINAL_NORMS:
            if hasattr(self.backbone, name):
                setattr(self.backbone, name, nn.Identity())
        self.head = StudentHead(config.features or inner.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True
    ) -> SequenceClassifierOutput | tuple[Tensor]:
        """Returns `logits` of shape (n, classes); tokens and mask are (n, tokens), padded on the right."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        device, half = input_ids.device.type, torch.bfloat16
        with torch.autocast(device, dtype=half, enabled=self.config.precision == "bfloat16"):
            states = self.backbone(input_ids=input_ids, attention_mask=mask).last_hidden_state
        pooled = pool(states, mask, self.config.pooling).float()
        with torch.autocast(device, dtype=half, enabled=self.config.head_precision == "bfloat16"):
            logits = self.head(pooled).float()
        return SequenceClassifierOutput(logits=logits) if return_dict else (logits,)

    @torch.inference_mode()
    def classify(self, texts: Sequence[str], tokenizer: Any, batch_size: int = 32) -> Tensor:
        """Returns the probability of each class of each text, shape (texts, classes), in the order of `id2label`.

        A long text is cut at `max_tokens` tokens, and an empty one is a single end-of-text token, as in training.
        """
        if not texts:
            return torch.empty(0, self.config.num_labels)
        encoded = tokenizer(list(texts), truncation=True, max_length=self.config.max_tokens)["input_ids"]
        padding, end = tokenizer.pad_token_id, tokenizer.eos_token_id
        tokens = [ids or [padding if end is None else end] for ids in encoded]
        parts = []
        for start in range(0, len(tokens), batch_size):
            some = [torch.tensor(ids) for ids in tokens[start : start + batch_size]]
            ids = nn.utils.rnn.pad_sequence(some, batch_first=True, padding_value=padding)
            lengths = torch.tensor([len(one) for one in some])
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            parts.append(self(ids.to(self.device), mask.to(self.device)).logits.softmax(dim=1))
        return torch.cat(parts)


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pools states (n, tokens, width) under a 0/1 mask (n, tokens) into (n, width)."""
    if pooling == "mean":
        weights = mask.to(states.dtype).unsqueeze(-1)
        return states.masked_fill(weights == 0, 0.0).sum(dim=1) / weights.sum(dim=1)
    last = torch.where(mask.bool(), torch.arange(mask.shape[1], device=mask.device), -1).amax(dim=1)
    return states[torch.arange(len(states), device=states.device), last]


AutoConfig.register(StudentConfig.model_type, StudentConfig, exist_ok=True)
AutoModelForSequenceClassification.register(StudentConfig, StudentForSequenceClassification, exist_ok=True)
