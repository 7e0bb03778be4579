"""Easy to hard: which examples a weak supervisor may learn from, and which all other splits are made of.

Burns et al. (arXiv 2312.09390, appendix C) train on easy examples alone and test on hard ones: puzzles below and above
a rating, questions that a small model answers and that it does not, the easiest 30 or 50 %. Here the easiest share of
each class is easy and the hardest share is hard, so that classes are as frequent on either side; what lies between
them is in no split. Examples of one difficulty are on one side: every easy one is easier than every hard one of its
class.

A difficulty only ever admits an example to the split that its hash names, or keeps it out. So what `split` promises
stands: groups stay together, and no row that comes in moves another from one split to another. It can move a border,
and then an example near it comes into its split or leaves it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2s_ray.spec.task import Difficulty
from w2s_ray.tasks.clean import Example

EASY_SPLIT = "weak"


@dataclass(frozen=True)
class Borders:
    """Where easy ends and hard begins.

    Attributes:
        asked: by what, and which shares.
        easy: class to the largest difficulty that is easy.
        hard: class to the smallest difficulty that is hard.
    """

    asked: Difficulty
    easy: Mapping[str, float]
    hard: Mapping[str, float]

    def admit(self, split: str, example: Example) -> bool:
        """Whether an example is easy enough, or hard enough, for a split."""
        found = difficulty_of(example, self.asked)
        return found <= self.easy[example.label] if split == EASY_SPLIT else found >= self.hard[example.label]

    def share(self, split: str) -> float:
        """Returns which share of its range a split may use."""
        return self.asked.easy if split == EASY_SPLIT else self.asked.hard

    def summary(self) -> dict[str, object]:
        """Returns it as plain data."""
        return {"by": self.asked.by, "easy": dict(self.easy), "hard": dict(self.hard)}


def borders_of(examples: Sequence[Example], classes: Sequence[str], asked: Difficulty) -> Borders:
    """Finds the borders of each class among `examples`, in whatever order.

    Raises:
        ValueError: a class has no example that is harder than its easy ones.
    """
    easy, hard = {}, {}
    for label in classes:
        ordered = sorted(difficulty_of(example, asked) for example in examples if example.label == label)
        easy[label], hard[label] = _borders(label, ordered, asked)
    return Borders(asked, easy, hard)


def difficulty_of(example: Example, asked: Difficulty) -> float:
    """Returns an example's difficulty: as its source says, or its number of words (arXiv 1903.09848)."""
    if asked.by == "length":
        return float(len(example.text.split()))
    assert example.difficulty is not None, "a source without difficulties is refused when the sweep is planned"
    return example.difficulty


def _borders(label: str, ordered: list[float], asked: Difficulty) -> tuple[float, float]:
    count = len(ordered)
    if count < 2:
        raise ValueError(f"class {label!r} has {count} examples, too few to tell easy ones from hard ones")
    easy = ordered[max(1, int(asked.easy * count)) - 1]
    harder = [found for found in ordered if found > easy]
    if not harder:
        raise ValueError(
            f"no example of class {label!r} is harder than its easiest {asked.easy:.0%}: they all have a difficulty of "
            f"{easy:g} or less; lower task.difficulty.easy, or name a finer measure"
        )
    return easy, max(ordered[-max(1, int(asked.hard * count))], harder[0])


def in_words(summary: Mapping[str, Any]) -> str:
    """Returns what a summary of examples says of easy and hard ones as one sentence; empty if it says nothing."""
    found = summary.get("difficulty")
    if found is None:
        return ""
    borders = ", ".join(f"{label}: {easy:.3g} and {found['hard'][label]:.3g}" for label, easy in found["easy"].items())
    return (
        f"The weak supervisor learned from easy examples; student, ceiling, validation and test hold hard ones (by "
        f"{found['by']}; easy up to and hard from, by class: {borders})."
    )
