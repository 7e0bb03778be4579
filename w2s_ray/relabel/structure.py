"""Where simulated errors lie (Burns et al., appendix E.2): the order in which examples become wrong.

At the same number of errors, errors that a student can learn (the longest texts, say) cost it more than errors that
look random to it. `longest` and `shortest` count characters. The two that ask the ceiling read a model that was trained
on the ground truth of these very examples, so its confidence is that of a fit, not of a prediction.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from w2s_ray.labels import Labels
from w2s_ray.relabel.draws import Rows, places, ranked
from w2s_ray.spec.labels import Structure


def order_of(structure: Structure, truth: Labels, texts: Sequence[str], ceiling: Labels | None, seed: int) -> Rows:
    """Returns all rows of `truth`, those that become wrong first at the head; equal ones by content and seed.

    Args:
        structure: `random`; `longest` or `shortest` text; `ceiling-unconfident`, where the ceiling is least sure of
            whatever it says; `ceiling-confident`, where it is surest of the true class.
        truth: of the student's half.
        texts: in its order.
        ceiling: its predictions on the same examples; needed by the last two.
        seed: of the draw.
    """
    salt = f"error {seed}"
    if structure == "random":
        return ranked(places(truth.ids, salt), truth.ids, salt)
    if structure in ("longest", "shortest"):
        lengths = np.array([len(text) for text in texts], dtype=np.float64)
        return ranked(-lengths if structure == "longest" else lengths, truth.ids, salt)
    assert ceiling is not None, f"{structure} asks the ceiling"
    probabilities = ceiling.of(truth.ids).probabilities.astype(np.float64)
    return ranked(_doubt(structure, probabilities, truth.classes), truth.ids, salt)


def _doubt(structure: str, probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    if structure == "ceiling-unconfident":
        unsure: NDArray[np.float64] = probabilities.max(axis=1)
        return unsure
    return -probabilities[np.arange(len(classes)), classes]
