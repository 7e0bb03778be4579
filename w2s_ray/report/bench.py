"""Models on held-out examples, read from the store: the one place of the report that touches ground truth.

A model's class is the argmax of its probabilities. Predictions and ground truth are matched by example id, never by
row, and a model that was tested on other examples than the task's split is refused. The test split tells what a chosen
model is worth; the validation split is there to compare ways of choosing.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from w2s_ray.stages.artifacts import EXAMPLES, Examples, Predictions
from w2s_ray.stages.store import Store

TEST, VALIDATION = "test", "validation"


@dataclass(frozen=True, eq=False)
class Tested:
    """One model under every seed, on one split in the order of its ids.

    Attributes:
        ids: shape (n,), sorted.
        truth: class numbers, shape (n,).
        probabilities: of the classes, shape (seeds, n, classes).
    """

    ids: NDArray[np.str_]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Class numbers, shape (seeds, n)."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=2).astype(np.int64)
        return predicted

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
    _tasks: dict[str, Examples] = field(default_factory=dict)
    _truths: dict[tuple[str, str], tuple[NDArray[np.str_], NDArray[np.int64]]] = field(default_factory=dict)
    _made: dict[str, tuple[str, Predictions]] = field(default_factory=dict)
    _sorted: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)

    def test(self, addresses: tuple[str, ...]) -> Tested:
        """Returns a model's stages, one per seed, on the test split. Raises KeyError if one is not in the store."""
        return self.on(TEST, addresses)

    def on(self, split: str, addresses: tuple[str, ...]) -> Tested:
        """Returns a model's stages, one per seed, on `split`. Raises KeyError if one is not in the store."""
        tasks = {self._predictions(address)[0] for address in addresses}
        assert len(tasks) == 1, f"seeds of one model were tested on different tasks: {sorted(tasks)}"
        ids, truth = self._truth(tasks.pop(), split)
        return Tested(ids, truth, np.stack([self._probabilities(address, split) for address in addresses]))

    def _probabilities(self, address: str, split: str) -> NDArray[np.float32]:
        if (address, split) not in self._sorted:
            examples, predictions = self._predictions(address)
            ids, _ = self._truth(examples, split)
            made = predictions.of(split)
            order = np.argsort(made.ids)
            same = np.array_equal(made.ids[order], ids)
            assert same, f"stage {address} was not tested on the {split} split of its task"
            self._sorted[address, split] = made.probabilities[order]
        return self._sorted[address, split]

    def _predictions(self, address: str) -> tuple[str, Predictions]:
        if address not in self._made:
            stage = self.store.get(address)
            self._made[address] = str(stage.record.identity["inputs"]["examples"]), stage.predictions()
        return self._made[address]

    def _truth(self, address: str, split: str) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        if address not in self._tasks:
            self._tasks[address] = Examples.read(self.store.get(address).file(EXAMPLES))
        if (address, split) not in self._truths:
            examples = self._tasks[address]
            rows = examples.rows(split)
            order = np.argsort(examples.ids[rows])
            self._truths[address, split] = examples.ids[rows][order], examples.classes[rows][order]
        return self._truths[address, split]


def agreement(student: Tested, weak: Tested) -> Agreement:
    """Returns how often `student` agrees with `weak`, cell by cell."""
    same = student.predicted == weak.predicted
    right = weak.correct
    return Agreement(float(same.mean()), _mean(same[right]), _mean(same[~right]))


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if values.size else None
