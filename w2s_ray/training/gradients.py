"""The gradient of a global batch as one flat vector, with the loss in its last place.

Parameters' `.grad` are views of it, so passes add up in place, and one exchange among workers, one norm and one scaling
serve the whole network. It is never dropped, so a parameter that a worker did not touch has a gradient of zero there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from w2s_ray.training.worker import Worker


class Gradients:
    """Gradients of float32 `parameters`, all on one device."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        if not parameters:
            raise ValueError("the network has no parameter that requires a gradient")
        if any(parameter.dtype != torch.float32 for parameter in parameters):
            raise ValueError("trained weights must be float32; bfloat16 is a precision of training, not of weights")
        sizes = [parameter.numel() for parameter in parameters]
        self._flat = torch.zeros(sum(sizes) + 1, device=parameters[0].device)
        self._values, self._loss = self._flat[:-1], self._flat[-1]
        for parameter, part in zip(parameters, torch.split(self._values, sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    def zero(self) -> None:
        """Begins a new global batch."""
        self._flat.zero_()

    def add(self, loss: Tensor) -> None:
        """Adds the gradient of `loss`, a share of the global batch's, and frees its graph."""
        loss.backward()  # type: ignore[no-untyped-call]
        self._loss += loss.detach()

    def exchange(self, worker: Worker) -> tuple[float, float]:
        """Sums over all workers and returns loss and gradient norm of the global batch."""
        worker.sum_(self._flat)
        loss, norm = torch.stack([self._loss, self._values.norm()]).tolist()
        return loss, norm

    def scale(self, factor: float) -> None:
        """Multiplies the gradient by `factor`."""
        self._values.mul_(factor)
