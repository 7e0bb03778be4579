"""Which examples make up which step: drawn from seed and epoch alone, so that it is the same wherever the run goes on.

A batch here is the *global* batch. Any number of workers divides the same batches; each takes a contiguous share, and
shares may differ by one or be empty in a last, partial batch, which is kept. Every epoch is a new order. Texts of like
length are put together to waste no padding: sorted within 50 batches' worth of shuffled examples, then the batches
are shuffled.
"""

import numpy as np

from w2s_ray.training.inputs import Rows

SORTED_TOGETHER = 50


def epoch_batches(count: int, lengths: Rows | None, size: int, seed: int, epoch: int) -> list[Rows]:
    """Returns the batches of one epoch: rows of 0 to `count` - 1, each once; all of `size` but at most one.

    Args:
        count: number of examples.
        lengths: tokens of each, or None for a plain permutation.
        size: examples in a global batch.
        seed: of the run.
        epoch: from 0.
    """
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(count).astype(np.int64)
    if lengths is None:
        return cut(order, size)
    together = size * SORTED_TOGETHER
    chunks = [order[start : start + together] for start in range(0, count, together)]
    batches = [batch for chunk in chunks for batch in cut(chunk[np.argsort(lengths[chunk], kind="stable")], size)]
    return [batches[place] for place in draw.permutation(len(batches))]


def cut(rows: Rows, size: int) -> list[Rows]:
    """Cuts `rows` into consecutive pieces of `size`; the last may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def share(count: int, rank: int, workers: int) -> slice:
    """Returns which part of a batch of `count` worker `rank` of `workers` computes; it may be empty."""
    return slice(count * rank // workers, count * (rank + 1) // workers)


def by_length(lengths: Rows | None, count: int, size: int) -> list[Rows]:
    """Returns batches for a pass without training: shortest first, so that hardly any padding is computed."""
    order = np.arange(count, dtype=np.int64) if lengths is None else np.argsort(lengths, kind="stable")
    return cut(order.astype(np.int64), size)


def by_tokens(lengths: Rows, budget: int) -> list[Rows]:
    """Returns batches, shortest first, of at most `budget` tokens with padding, or of a single text."""
    order = np.argsort(lengths, kind="stable").astype(np.int64)
    batches, start = [], 0
    for place in range(1, len(order) + 1):
        if place == len(order) or (place - start + 1) * int(lengths[order[place]]) > budget:
            batches.append(order[start:place])
            start = place
    return batches
