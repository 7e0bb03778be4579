"""What a network reads: a fixed set of examples, from which any rows can be had as a batch of tensors.

`FeatureInputs` are vectors computed before; `TextInputs` are texts, tokenized once and padded per batch, on the right;
`SomeInputs` are some of the others.
Every text is kept: a long one is cut, an empty one becomes a single end-of-text token.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]


class Inputs(Protocol):
    """Examples that can be asked for in batches."""

    @property
    def lengths(self) -> Rows | None:
        """Tokens of each example, shape (n,), or None where all examples cost the same."""

    def __len__(self) -> int: ...

    def batch(self, rows: Rows, device: str | torch.device) -> dict[str, Tensor]:
        """Returns the examples `rows`, in that order, on `device`."""


class FeatureInputs:
    """Vectors of shape (n, width), float32. They move to a device once, with the first batch asked there.

    `places`, shape (n,), say where each is among the training points of a kNN probe.
    """

    lengths: Rows | None = None

    def __init__(self, features: NDArray[np.float32], places: Rows | None = None) -> None:
        self._features = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        self._places = places

    def __len__(self) -> int:
        return len(self._features)

    def batch(self, rows: Rows, device: str | torch.device) -> dict[str, Tensor]:
        """Returns `features`, shape (rows, width), and `places`, shape (rows,), where they were given."""
        self._features = self._features.to(device)
        places = torch.from_numpy(rows).to(device)
        own = {} if self._places is None else {"places": torch.from_numpy(self._places[rows]).to(device)}
        return {"features": self._features.index_select(0, places), **own}


class TextInputs:
    """Texts as token ids, at most `max_length` a text."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_length: int) -> None:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_attention_mask=False)
        self._padding = int(tokenizer.pad_token_id)
        empty = [self._padding if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)]
        self._tokens = [np.asarray(ids or empty, dtype=np.int64) for ids in encoded["input_ids"]]
        self.lengths: Rows | None = np.array([len(ids) for ids in self._tokens], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._tokens)

    def batch(self, rows: Rows, device: str | torch.device) -> dict[str, Tensor]:
        """Returns `input_ids` and `attention_mask`, shape (rows, longest of them), int64."""
        wanted = [self._tokens[row] for row in rows]
        ids = np.full((len(rows), max(map(len, wanted), default=0)), self._padding, dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, tokens in enumerate(wanted):
            ids[place, : len(tokens)] = tokens
            mask[place, : len(tokens)] = 1
        return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}


class SomeInputs:
    """The examples `rows` of other inputs, in that order."""

    def __init__(self, inputs: Inputs, rows: Rows) -> None:
        self._inputs, self._rows = inputs, rows
        self.lengths: Rows | None = None if inputs.lengths is None else inputs.lengths[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, rows: Rows, device: str | torch.device) -> dict[str, Tensor]:
        """Returns what the other inputs return for these examples."""
        return self._inputs.batch(self._rows[rows], device)
