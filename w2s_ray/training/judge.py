"""How often a network agrees with those who judge it, on examples that no gradient sees."""

from collections.abc import Mapping

import torch
from torch import nn

from w2s_ray.labels import Labels
from w2s_ray.training.batches import by_length
from w2s_ray.training.evaluate import passes
from w2s_ray.training.inputs import Inputs
from w2s_ray.training.worker import Worker

_COLUMNS = {"truth": "validation_accuracy", "supervisor": "validation_agreement"}


def judge(
    network: nn.Module, inputs: Inputs, judges: Mapping[str, Labels], worker: Worker, precision: str, size: int
) -> dict[str, float]:
    """Returns the share of `inputs` on which the network's class is that of each judge, by column of a curve.

    Args:
        network: on the worker's device.
        inputs: the validation examples; several workers divide them.
        judges: labels of `inputs` by name.
        worker: which of how many.
        precision: of the pass.
        size: examples at once.
    """
    if not judges:
        return {}
    classes = {name: torch.from_numpy(labels.classes) for name, labels in judges.items()}
    batches = by_length(inputs.lengths, len(inputs), size)[worker.rank :: worker.size]
    agreed = torch.zeros(len(judges), dtype=torch.float64)
    for rows, probabilities in passes(network, inputs, batches, worker.device, precision):
        predicted = probabilities.argmax(dim=1).cpu()
        agreed += torch.stack([(predicted == one[rows]).sum() for one in classes.values()])
    shares = worker.sum_(agreed.to(worker.device)) / len(inputs)
    columns = [_COLUMNS.get(name, f"validation_{name}") for name in judges]
    return dict(zip(columns, shares.tolist(), strict=True))
