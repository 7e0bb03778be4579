"""A named loss, put together for the training loop: targets for a global batch, and the distance of any part from them.

Only the confidence losses look at a whole batch at once, and only with a `threshold_buffer` do they remember anything.
That memory is part of a checkpoint; as all workers fill it with the same global batches, it is the same on each.
"""

import torch
from torch import Tensor

from w2s_ray.spec.training import Loss
from w2s_ray.training.losses.confidence import batch_prior, harden, harden_by_quantile, is_balanced, mix
from w2s_ray.training.losses.forms import form_of

_HARDENING = ("confidence", "log-confidence")


class Objective:
    """What `loss` makes of `weak`, the labels of the training half, (n, classes), on the training's device."""

    def __init__(self, loss: Loss, weak: Tensor) -> None:
        self._loss, self._weak = loss, weak
        self._balanced = is_balanced(weak)
        self._form = form_of(loss, weak)
        self._recent = weak.new_empty((0, weak.shape[1]))

    def needs_predictions(self, alpha: float) -> bool:
        """Says whether the targets of a batch depend on the predictions for all of it."""
        return alpha > 0 and self._loss.name in _HARDENING

    def targets(self, rows: Tensor, alpha: float, logits: Tensor | None) -> Tensor:
        """Returns what the global batch `rows` is to learn, (rows, classes), without gradient. Call it once a step.

        Args:
            rows: places in the training half.
            alpha: present weight of the student's own prediction.
            logits: of the whole batch; not looked at unless `needs_predictions`.
        """
        weak = self._weak[rows]
        target = smooth(weak, self._loss.smoothing)
        if logits is None or not self.needs_predictions(alpha):
            return target
        return mix(target, self._harden(torch.softmax(logits.detach(), dim=1), weak), alpha)

    def distance(self, logits: Tensor, targets: Tensor, alpha: float) -> Tensor:
        """Returns the loss summed over examples; both (n, classes), n any part of a batch."""
        return self._form(logits, targets, alpha)

    def memory(self) -> dict[str, Tensor]:
        """Returns what a checkpoint has to hold."""
        return {"recent": self._recent} if self._loss.threshold_buffer else {}

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Puts back what `memory` returned."""
        if "recent" in memory:
            self._recent = memory["recent"].to(self._weak.device)

    def _harden(self, own: Tensor, weak: Tensor) -> Tensor:
        if self._loss.name == "log-confidence":
            return harden_by_quantile(own, weak.mean(dim=0))
        size = self._loss.threshold_buffer
        if size == 0:
            return harden(own, batch_prior(weak, self._balanced))
        # Newest first, so that of equally probable predictions this batch's are positive. It always counts in full.
        self._recent = torch.cat([own, self._recent])[: max(size, len(own))].clone()
        return harden(self._recent, batch_prior(self._weak, self._balanced))[: len(own)]


def smooth(labels: Tensor, share: float) -> Tensor:
    """Returns (1 - s) w + s / C, shape (n, classes). Source: label smoothing, Szegedy et al., arXiv 1512.00567."""
    return labels if share == 0 else (1 - share) * labels + share / labels.shape[1]
