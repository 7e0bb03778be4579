"""What a network predicts: class probabilities of every example, in order, without gradient."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from w2s_ray.training.batches import by_length
from w2s_ray.training.device import room_on
from w2s_ray.training.inputs import Inputs, Rows


def predict(
    network: nn.Module, inputs: Inputs, batch_size: int, device: str = "cpu", precision: str = "float32"
) -> NDArray[np.float32]:
    """Returns class probabilities of shape (n, classes), in the order of `inputs`. `network` moves to `device`.

    Raises:
        DeviceOutOfMemory: lower `batch_size`.
    """
    batches = by_length(inputs.lengths, len(inputs), batch_size)
    with room_on(device, batch_size):
        network = network.to(device).eval()
        parts = [(rows, p.cpu().numpy()) for rows, p in passes(network, inputs, batches, device, precision)]
    if not parts:
        raise ValueError("there are no inputs to predict")
    probabilities = np.empty((len(inputs), parts[0][1].shape[1]), dtype=np.float32)
    for rows, part in parts:
        probabilities[rows] = part
    return probabilities


def passes(
    network: nn.Module, inputs: Inputs, batches: Iterable[Rows], device: str, precision: str
) -> Iterator[tuple[Rows, Tensor]]:
    """Yields every batch's rows with their probabilities, shape (rows, classes), on `device`."""
    for rows in batches:
        batch = inputs.batch(rows, device)  # outside: what it caches on the device must serve training too
        with torch.inference_mode():
            probabilities = torch.softmax(logits_of(network, batch, device, precision), dim=1)
        yield rows, probabilities


def logits_of(network: nn.Module, batch: dict[str, Tensor], device: str, precision: str) -> Tensor:
    """Returns float32 logits of shape (n, classes); `bfloat16` computes them in mixed precision."""
    if precision == "float32":
        logits: Tensor = network(batch)
        return logits
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        logits = network(batch)
    return logits.float()


def accuracy(probabilities: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Returns the share of rows of `probabilities` (n, classes) whose most probable class is that of `classes` (n,)."""
    if len(probabilities) != len(classes) or len(classes) == 0:
        raise ValueError(f"cannot compare {len(probabilities)} predictions with {len(classes)} classes")
    return float((probabilities.argmax(axis=1) == classes).mean())
