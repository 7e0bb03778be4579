"""A device whose memory does not suffice, said as what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from w2s_ray.training.errors import DeviceOutOfMemory


@contextmanager
def room_on(device: str, examples: int = 0) -> Iterator[None]:
    """Turns torch's error about a full device into DeviceOutOfMemory.

    Args:
        device: where the block computes.
        examples: in its largest forward pass, if `micro_batch` sets that; 0: it does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceOutOfMemory(device, examples) from error
