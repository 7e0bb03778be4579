"""Frozen features: every text's pooled hidden state, at several depths of one model, from one pass.

Depth k is `hidden_states[k]` of transformers: 0 the embeddings, k the output of layer k; None is the last, to which a
decoder's final norm was applied. The model is cut at the deepest depth wanted, and the others are read on the way.

Texts go shortest first in batches of about 1,024 tokens: on 2 cores that keeps a layer's activations in the cache and
wastes 1 % on padding. A text's features do not depend on its batch, to float tolerance.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from w2s_ray.models.load import Cut, load_backbone, load_tokenizer, width_of
from w2s_ray.models.pooling import pool
from w2s_ray.training.batches import by_tokens
from w2s_ray.training.device import room_on
from w2s_ray.training.inputs import TextInputs

_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens per batch, with padding."""


def extract(
    folder: Path,
    model: Cut,
    depths: Sequence[int | None],
    texts: Sequence[str],
    precision: str = "float32",
    device: str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int | None, NDArray[np.float32]]:
    """Returns features of shape (texts, width), float32, in the order of `texts`, for each of `depths`.

    Args:
        folder: of the pretrained model, as `load_backbone` reads it.
        model: says pooling and max_length; its own depth is not used.
        depths: layers to pool after; None is all of them. Duplicates are fine.
        texts: any number, any length; cut at `max_length` tokens.
        precision: `float32`, or `bfloat16` for mixed precision.
        device: where to compute.
        on_progress: called with texts done and all texts after each batch.

    Raises:
        ValueError: a depth that the model does not have, or what `load_backbone` refuses.
        DeviceOutOfMemory: the device has no room for the model, or for a batch.
    """
    if not depths:
        raise ValueError("depths must name at least one depth")
    deepest = None if None in depths else max(depth for depth in depths if depth is not None)
    inputs = TextInputs(texts, load_tokenizer(folder), model.max_length)
    return read_features(load_backbone(folder, deepest), inputs, model, depths, precision, device, on_progress)


def read_features(
    backbone: nn.Module,
    inputs: TextInputs,
    model: Cut,
    depths: Sequence[int | None],
    precision: str = "float32",
    device: str = "cpu",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int | None, NDArray[np.float32]]:
    """Returns what `extract` does, of a network that is at hand, whatever its weights; depth None is its own end."""
    with room_on(device):
        backbone = backbone.to(device)
    lengths = inputs.lengths
    assert lengths is not None
    features = {depth: np.empty((len(inputs), width_of(backbone)), dtype=np.float32) for depth in depths}
    done = 0
    for rows in by_tokens(lengths, _TOKENS[torch.device(device).type]):
        with room_on(device):
            states = _pooled(backbone, inputs.batch(rows, device), features, model.pooling, precision)
        for depth, pooled in states.items():
            features[depth][rows] = pooled.float().cpu().numpy()
        done += len(rows)
        on_progress(done, len(inputs))
    return features


def _pooled(
    backbone: nn.Module, batch: dict[str, Tensor], depths: Any, pooling: str, precision: str
) -> dict[int | None, Tensor]:
    kind = batch["input_ids"].device.type
    with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        output = backbone(**batch, output_hidden_states=True)
    states = (*output.hidden_states[:-1], output.last_hidden_state)
    return {depth: pool(states[-1 if depth is None else depth], batch["attention_mask"], pooling) for depth in depths}
