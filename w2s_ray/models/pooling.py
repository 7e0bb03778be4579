"""From the states of a text's tokens to one vector, by the attention mask alone: padding may lie on either side."""

import torch
from torch import Tensor


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pools states of shape (n, tokens, width) under a 0/1 mask of shape (n, tokens) into (n, width).

    `mean` averages the real tokens; `last` takes the last real one. Every text must have one real token.

    Raises:
        ValueError: another name of a pooling.
    """
    if pooling == "mean":
        weights = mask.to(states.dtype).unsqueeze(-1)
        kept = states.masked_fill(weights == 0, 0.0)  # not a product: a masked state may be NaN
        return kept.sum(dim=1) / weights.sum(dim=1)
    if pooling == "last":
        places = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask.bool(), places, -1).amax(dim=1)
        return states[torch.arange(len(states), device=states.device), last]
    raise ValueError(f"pooling must be mean or last, got {pooling!r}")
