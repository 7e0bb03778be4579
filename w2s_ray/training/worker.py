"""One of the processes that divide each global batch among them. Alone, every exchange is free.

Whoever starts several workers initialises torch.distributed; here it is only used. Every exchange sums, and nothing is
averaged: losses are divided by the size of the global batch where they are made, so shares may be uneven or empty.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from w2s_ray.training.errors import PeerLost


@dataclass(frozen=True)
class Worker:
    """Worker `rank` of `size`, computing on `device`."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank must be within [0, {self.size - 1}], got {self.rank}")
        if self.size > 1 and not (dist.is_available() and dist.is_initialized()):
            raise ValueError(f"{self.size} workers need torch.distributed to be initialised")

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sums `tensor` over all workers, in place, and returns it."""
        if self.size > 1:
            with _exchange():
                dist.all_reduce(tensor)
        return tensor

    def gather(self, mine: Tensor, part: slice, count: int) -> Tensor:
        """Returns all `count` rows of which every worker holds its `part`; exact, since all else is zero."""
        if self.size == 1:
            return mine
        rows = torch.zeros((count, *mine.shape[1:]), dtype=mine.dtype, device=mine.device)
        rows[part] = mine
        return self.sum_(rows)

    def agree(self, value: int) -> bool:
        """Says whether all workers hold the same `value`."""
        if self.size == 1:
            return True
        bounds = torch.tensor([value, -value], device=self.device)
        with _exchange():
            dist.all_reduce(bounds, op=dist.ReduceOp.MAX)
        return bool(bounds[0] == -bounds[1])

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites `tensors` with those of worker 0."""
        if self.size > 1:
            with _exchange():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)


@contextmanager
def _exchange() -> Iterator[None]:
    """Tells what goes wrong between workers from what goes wrong in one."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(f"an exchange among workers failed: {error}") from error
