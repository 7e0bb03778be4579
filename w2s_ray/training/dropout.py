"""Dropout of the pooled states that the head reads; never inside the network.

What is left out is drawn for a whole global batch from seed and step alone: so it is the same on any number of workers,
in any micro-batch, and after an interruption. Inside the layers it could not be: there it would depend on padding.
Burns et al. (arXiv 2312.09390, appendix B) found no gain in dropout.
"""

import numpy as np
import torch
from torch import Tensor, nn

_STREAM = 0xD20  # apart from the order of batches, which is drawn from seed and epoch


def kept_of(network: nn.Module, share: float, count: int, seed: int, step: int) -> Tensor | None:
    """Returns 0 where a feature is left out and 1 / (1 - share) where not, (count, width); None without dropout.

    Args:
        network: its last linear map is the head, which says the width.
        share: of the features that is left out.
        count: examples of the global batch.
        seed: of the run.
        step: from 0.
    """
    if share == 0:
        return None
    width = [part.in_features for part in network.modules() if isinstance(part, nn.Linear)][-1]
    drawn = np.random.default_rng((_STREAM, seed, step)).random((count, width), dtype=np.float32)
    return torch.from_numpy((drawn >= share).astype(np.float32) / np.float32(1 - share))
