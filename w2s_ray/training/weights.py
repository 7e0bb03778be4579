"""Which weights a training ends with: the last, an average over the last steps, or those of its best validation.

    average_t = Σ_i d^(t - i) w_i / Σ_i d^(t - i), i = 1 .. t            (exponential moving average, decay d)

The average is over the weights after each step and leaves the initial ones out. Where it is on, validation looks at it,
and it is what the training ends with; the optimizer never sees it. Burns et al. (arXiv 2312.09390) stop early on the
agreement with the weak labels (A.1), show ground truth as the cheat that it is (5.1.1), and found no gain in averages
(appendix B). Both kinds of weights are part of a checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from w2s_ray.training.checkpoints import Row


def chosen_row(curve: Sequence[Row], select: str) -> Row:
    """Returns the row of a learning curve whose weights count; of equally good ones the first.

    Args:
        curve: at least one row.
        select: `last`; `weak`, the highest `validation_agreement` with the supervisor's labels, or where no model
            supervises, as for a baseline on ground truth, as `truth`; `truth`, the highest `validation_accuracy`.

    Raises:
        ValueError: nothing was measured on a validation split.
    """
    if select == "last":
        return curve[-1]
    supervised = select == "weak" and "validation_agreement" in curve[-1]
    column = "validation_agreement" if supervised else "validation_accuracy"
    if column not in curve[-1]:
        raise ValueError(f"select: {select} needs {column}, but the training has no validation labels; use last")
    return max(curve, key=lambda row: row[column])


class Average:
    """The exponential moving average of `weights`; with a `decay` of 0 it is the weights, and costs nothing."""

    def __init__(self, weights: Sequence[nn.Parameter], decay: float) -> None:
        self._weights, self._decay = weights, decay
        self._average = [weight.detach().clone() for weight in weights] if decay else []

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Takes in the weights after step number `steps`, counted from 1."""
        share = (1 - self._decay) / (1 - self._decay**steps)
        for average, weight in zip(self._average, self._weights, strict=bool(self._average)):
            average.lerp_(weight, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the weights' place for a while."""
        latest = [weight.detach().clone() for weight in self._weights] if self._average else []
        self.settle()
        yield
        _copy(latest, self._weights)

    def settle(self) -> None:
        """Puts the average in the weights' place for good."""
        _copy(self._average, self._weights)

    def memory(self) -> dict[str, Tensor]:
        """Returns what a checkpoint has to hold."""
        return {f"average.{place}": tensor for place, tensor in enumerate(self._average)}

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Puts back what `memory` returned."""
        _copy([memory[name] for name in self.memory()], self._average)


class Best:
    """The `weights` at the best row of the curve so far, by the rule `select`."""

    def __init__(self, weights: Sequence[nn.Parameter], select: str) -> None:
        self._weights, self._select = weights, select
        self._best = [weight.detach().clone() for weight in weights] if select != "last" else []

    def see(self, curve: Sequence[Row]) -> None:
        """Takes in the weights if the last row of `curve`, which they gave, is the best."""
        if self._best and chosen_row(curve, self._select) is curve[-1]:
            _copy(self._weights, self._best)

    def settle(self) -> None:
        """Puts the best in the weights' place for good."""
        _copy(self._best, self._weights)

    def memory(self) -> dict[str, Tensor]:
        """Returns what a checkpoint has to hold."""
        return {f"best.{place}": tensor for place, tensor in enumerate(self._best)}

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Puts back what `memory` returned."""
        _copy([memory[name] for name in self.memory()], self._best)


@torch.no_grad()
def _copy(source: Sequence[Tensor], target: Sequence[Tensor]) -> None:
    for one, other in zip(source, target, strict=bool(source)):
        other.copy_(one)
