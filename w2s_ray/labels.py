"""Labels know where they come from, so that ground truth cannot be passed where weak labels are meant.

Training takes `Labels`, never bare arrays. The student's half carries two: the ground truth (for the ceiling alone) and
the weak supervisor's predictions (for the student).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GROUND_TRUTH = "ground truth"


@dataclass(frozen=True)
class Labels:
    """Class probabilities for examples.

    Attributes:
        ids: example ids, shape (n,).
        probabilities: shape (n, classes), each row sums to 1; float32.
        origin: `GROUND_TRUTH`, or the address of the stage that predicted them; it holds both where they are mixed.
    """

    ids: NDArray[np.str_]
    probabilities: NDArray[np.float32]
    origin: str

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or len(self.ids) != len(self.probabilities):
            raise ValueError(f"{len(self.ids)} ids do not fit probabilities of shape {self.probabilities.shape}")
        if not np.allclose(self.probabilities.sum(axis=1), 1, atol=1e-4):
            raise ValueError("label probabilities must sum to 1 in each row")

    @property
    def classes(self) -> NDArray[np.int64]:
        """The most probable class of each example, shape (n,)."""
        classes: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return classes

    @property
    def know_truth(self) -> bool:
        """Whether ground truth of these examples had any part in them."""
        return GROUND_TRUTH in self.origin

    def of(self, ids: NDArray[np.str_]) -> "Labels":
        """Returns the labels of `ids` in that order. Raises KeyError if one of them has none."""
        place = {name: index for index, name in enumerate(self.ids.tolist())}
        rows = np.array([place[name] for name in ids.tolist()], dtype=np.int64)
        return Labels(ids, self.probabilities[rows], self.origin)


def ground_truth(ids: NDArray[np.str_], classes: NDArray[np.int64], num_classes: int) -> Labels:
    """Returns one-hot labels for integer `classes` of shape (n,)."""
    return Labels(ids, np.eye(num_classes, dtype=np.float32)[classes], GROUND_TRUTH)


def partly_true(origin: str) -> str:
    """Returns the origin of labels of `origin` after ground truth had a part in them."""
    return origin if GROUND_TRUTH in origin else f"{origin}, in part {GROUND_TRUTH}"
