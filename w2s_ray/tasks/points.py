"""Binary points out of the rows of a public set, and what an entry of the registry says of that set.

A question with k answers becomes k points "question, answer: is it right?", of which as many right as wrong ones are
kept for each question, so that no class can be told from the question alone (Burns et al., arXiv 2312.09390, A.1).
Which wrong ones are kept follows from the hash of their text, so it is the same on any machine and in any order. All
points of a question, and of what questions share (premise, passage, dialogue), form a group and stay in one split.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from w2s_ray.tasks.row import Row

NO, YES = "no", "yes"


@dataclass(frozen=True)
class Point:
    """One example of a set.

    Attributes:
        text: what a model reads.
        label: the class by name; None if the set withholds it.
        group: what it shares with others; None if nothing.
        question: points of one question are kept in equal numbers of each class; None keeps the point as it is.
    """

    text: str
    label: str | None
    group: str | None = None
    question: str | None = None


@dataclass(frozen=True)
class HubTask:
    """A public set as a task.

    Attributes:
        name: how specs name it.
        dataset: its id on the hub.
        revision: the commit that pins it; None where none could be established from a public source.
        files: what is read of it, all labelled splits; no script of the data set is run.
        points: from a row and the file it is in to the row's points.
        rows: in these files.
        examples: points that are left of them, at most.
        megabytes: of text in these files, uncompressed; None where no source says.
        licence: as the hub or the authors say.
        paired: whether right and wrong answers are kept in equal numbers for each question.
        grouped_by: what keeps points together, for people.
        classes: labels of the points.
        form: of the files.
        share: part of the groups that is used, for sets of millions of rows.
        note: what people must know.
        version: counts changes of `points` that change an example.
    """

    name: str
    dataset: str
    revision: str | None
    files: tuple[str, ...]
    points: Callable[[Mapping[str, Any], str], Iterable[Point]]
    rows: int
    examples: int
    megabytes: float | None
    licence: str
    paired: bool = False
    grouped_by: str = "text"
    classes: tuple[str, str] = (NO, YES)
    form: Literal["parquet", "json"] = "parquet"
    share: float = 1.0
    note: str = ""
    version: int = 1


def stored(folder: str, *splits: str) -> tuple[str, ...]:
    """Returns the files of splits as people upload them to the hub."""
    return tuple(f"{folder}/{split}-00000-of-00001.parquet" for split in splits)


def converted(folder: str, *splits: str) -> tuple[str, ...]:
    """Returns the files of splits as the hub's own conversion to Parquet lays them out."""
    return tuple(f"{folder}/{split}/0000.parquet" for split in splits)


def answers(question: str, right: Iterable[str], wrong: Iterable[str], group: str, ask: str = "") -> Iterator[Point]:
    """Yields the points of one question.

    Args:
        question: all that stands before the answer.
        right: correct answers.
        wrong: incorrect ones.
        group: what keeps the points together.
        ask: put behind the answer.
    """
    key = f"{group}\n{question}"
    for label, texts in ((YES, right), (NO, wrong)):
        for text in texts:
            yield Point(f"{question}{text}{ask}", label, group, key)


def yes_no(value: object) -> str | None:
    """Returns the class of a label that is stored as 0 and 1 or as a truth value; None for a withheld one (-1)."""
    return {0: NO, 1: YES}.get(int(value)) if isinstance(value, int) else None


def rows_of(task: HubTask, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Row]:
    """Returns the task's rows from pairs of a file and one of its rows."""
    found = (point for file, row in rows for point in task.points(row, file))
    used = (point for point in found if task.share >= 1 or _place(point.group or point.text) < task.share)
    return [Row(f"{task.name}:{n}", point.text, point.label, point.group) for n, point in enumerate(balanced(used), 1)]


def balanced(points: Iterable[Point]) -> Iterator[Point]:
    """Yields points without a question as they are, and of each question as many right as wrong ones.

    Of the class with more points, those with the smallest hashes are kept. A question with one class only yields none.
    """
    questions: dict[str, dict[str | None, dict[str, Point]]] = {}
    for point in points:
        if point.question is None:
            yield point
        else:
            # An answer may occur twice in a question; it is one point.
            questions.setdefault(point.question, {}).setdefault(point.label, {})[point.text] = point
    for classes in questions.values():
        right, wrong = (sorted(classes.get(label, {}).values(), key=_by_hash) for label in (YES, NO))
        for pair in zip(right, wrong, strict=False):
            yield from pair


def _by_hash(point: Point) -> tuple[float, str]:
    return _place(point.text), point.text


def _place(text: str) -> float:
    """A number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
