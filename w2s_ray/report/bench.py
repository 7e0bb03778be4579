"""Models on the test split, read from the store: the one place of the report that touches ground truth.

A model's class is the argmax of its probabilities. Predictions and ground truth are matched by example id, never by
row, and a model that was tested on other examples than the task's test split is refused.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w2s_ray.stages.artifacts import EXAMPLES, Examples
from w2s_ray.stages.store import Store


@dataclass(frozen=True, eq=False)
class Tested:
    """One model under every seed, on the test split in the order of its ids.

    Attributes:
        ids: shape (n,), sorted.
        truth: class numbers, shape (n,).
        predicted: class numbers, shape (seeds, n).
    """

    ids: NDArray[np.str_]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Shape (seeds, n)."""
        correct: NDArray[np.bool_] = self.predicted == self.truth
        return correct


@dataclass(frozen=True)
class Agreement:
    """How often a student says what its weak supervisor says, over all seeds and test examples.

    Attributes:
        overall: fraction of all.
        weak_right: fraction of those the supervisor has right; None if there are none.
        weak_wrong: fraction of those the supervisor has wrong, so the share of its errors that the student repeats.
    """

    overall: float
    weak_right: float | None
    weak_wrong: float | None


@dataclass(frozen=True)
class Bench:
    """Reads each stage once."""

    store: Store
    _truths: dict[str, tuple[NDArray[np.str_], NDArray[np.int64]]] = field(default_factory=dict)
    _predicted: dict[str, tuple[str, NDArray[np.int64]]] = field(default_factory=dict)

    def test(self, addresses: tuple[str, ...]) -> Tested:
        """Returns a model's stages, one per seed, on the test split. Raises KeyError if one is not in the store."""
        seeds = [self._read(address) for address in addresses]
        tasks = {examples for examples, _ in seeds}
        assert len(tasks) == 1, f"seeds of one model were tested on different tasks: {sorted(tasks)}"
        ids, truth = self._truth(tasks.pop())
        return Tested(ids, truth, np.stack([predicted for _, predicted in seeds]))

    def _read(self, address: str) -> tuple[str, NDArray[np.int64]]:
        if address not in self._predicted:
            stage = self.store.get(address)
            examples = str(stage.record.identity["inputs"]["examples"])
            ids, _ = self._truth(examples)
            made = stage.predictions().of("test")
            order = np.argsort(made.ids)
            assert np.array_equal(made.ids[order], ids), f"stage {address} was not tested on the test split of its task"
            self._predicted[address] = examples, made.probabilities[order].argmax(axis=1).astype(np.int64)
        return self._predicted[address]

    def _truth(self, address: str) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        if address not in self._truths:
            examples = Examples.read(self.store.get(address).file(EXAMPLES))
            rows = examples.rows("test")
            order = np.argsort(examples.ids[rows])
            self._truths[address] = examples.ids[rows][order], examples.classes[rows][order]
        return self._truths[address]


def agreement(student: Tested, weak: Tested) -> Agreement:
    """Returns how often `student` agrees with `weak`, cell by cell."""
    same = student.predicted == weak.predicted
    right = weak.correct
    return Agreement(float(same.mean()), _mean(same[right]), _mean(same[~right]))


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None
