"""Predictions from the nearest training points: the mean of their soft labels, of standardized features.

A training point is never its own neighbour. It is known by its place, which its batch carries, not by a distance of
zero, which rounding would hide.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from w2s_ray.models.head import moments

_LEAST = 1e-12


class Neighbours(nn.Module):
    """Logits, the logarithm of the mean label of the `count` nearest points, from features of shape (n, width).

    Args:
        count: neighbours.
        metric: `cosine` or `euclidean`.
    """

    mean: Tensor
    deviation: Tensor
    points: Tensor
    labels: Tensor

    def __init__(self, count: int, metric: str) -> None:
        super().__init__()
        if metric not in ("cosine", "euclidean"):
            raise ValueError(f"metric must be cosine or euclidean, got {metric!r}")
        self._count, self._metric = count, metric
        for name in ("mean", "deviation", "points", "labels"):
            self.register_buffer(name, torch.empty(0))

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Keeps features (n, width) and soft labels (n, classes). Raises ValueError if they are too few."""
        if len(features) <= self._count:
            raise ValueError(f"neighbours must be below the {len(features)} training examples, got {self._count}")
        self.mean, self.deviation = moments(features)
        self.points, self.labels = self._standardized(features), labels

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns logits (n, classes); `places` in the batch are those among the training points, -1 for none."""
        distances = self._distances(self._standardized(batch["features"]))
        if "places" in batch:
            known = torch.nonzero(batch["places"] >= 0).flatten()
            distances[known, batch["places"][known]] = torch.inf
        nearest = distances.topk(self._count, dim=1, largest=False).indices
        return self.labels[nearest].mean(dim=1).clamp_min(_LEAST).log()

    def _standardized(self, features: Tensor) -> Tensor:
        scaled = (features - self.mean) / self.deviation
        return nn.functional.normalize(scaled, dim=1) if self._metric == "cosine" else scaled

    def _distances(self, queries: Tensor) -> Tensor:
        """Grows with the distance: less the part that a query has in common with all points. For cosine, -cosine."""
        products = queries @ self.points.T
        return -products if self._metric == "cosine" else self.points.square().sum(dim=1) - 2 * products
