"""Which rows are examples. What is left out is counted by reason and named, never passed on and never silent.

Two texts are the same if they are equal after Unicode NFC, case folding and collapsing of white space; the text itself
is kept as it is. A text that occurs with two labels teaches nothing and all its rows are left out; one that occurs
again with the same label is kept once, and belongs to the groups of all its rows.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from w2s_ray.tasks.row import Row

MOST_OF_OTHER_CLASSES = 0.05
"""Rows of classes that a task does not have are left out, up to this share; more is a mistake, not noise."""
_NAMED = 5


@dataclass(frozen=True)
class Example:
    """A row that is fit to learn from.

    Attributes:
        id: 16 hex digits of the hash of the text's identity; no two examples share one.
        text: as it is in the source.
        label: the class by name.
        groups: all that the text's rows belong to; empty if it stands alone.
        difficulty: mean of the text's rows, larger is harder; None if the source does not say.
    """

    id: str
    text: str
    label: str
    groups: frozenset[str] = frozenset()
    difficulty: float | None = None


@dataclass
class Dropped:
    """What was left out, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, row: str) -> None:
        """Counts a row, and names it if it is among the first of its reason."""
        self.counts[reason] += 1
        named = self.rows.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(row)


def identity_of(text: str) -> str:
    """Returns what is equal for texts that are the same but for case, white space and composition of characters."""
    # Folding can undo composition, so it is composed again.
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


def classes_of(rows: Iterable[Row], wanted: tuple[str, ...] | int | None = None) -> tuple[str, ...]:
    """Returns the classes of a task.

    Args:
        rows: of the source; unfit ones do not count.
        wanted: the classes by name, which are returned as they are; or how many, by default two: the most frequent
            ones, in the order of their names.

    Raises:
        ValueError: a class that is wanted has no row, there are fewer than wanted, or, where they are not listed by
            name, further ones hold more than `MOST_OF_OTHER_CLASSES` of the rows.
    """
    counts = Counter(row.label for row in rows if row.label is not None and not _problem(row))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{name!r} ({count:,} rows)" for name, count in ranked[:10]) or "no labelled row"
    if isinstance(wanted, tuple):
        missing = [name for name in wanted if name not in counts]
        if missing:
            raise ValueError(f"task.classes lists {missing[0]!r}, which no row has; got {listed}")
        return wanted
    number = wanted or 2
    few = {2: "two"}.get(number, f"{number}")
    if len(ranked) < number:
        raise ValueError(f"a task needs {few} classes, got {listed}")
    others = sum(count for _, count in ranked[number:])
    if others > MOST_OF_OTHER_CLASSES * counts.total():
        names = ", ".join(name for name, _ in ranked[:10])
        raise ValueError(
            f"a task has {few} classes unless it says otherwise, got {len(ranked)}: {listed}; list the ones it has, as "
            f"in task.classes: [{names}], or keep the rows of {few} of them"
        )
    return tuple(sorted(name for name, _ in ranked[:number]))


def clean(rows: Iterable[Row], classes: tuple[str, ...], dropped: Dropped) -> list[Example]:
    """Returns one example per text; what is left out is added to `dropped`. The order of the rows does not matter."""
    same: dict[str, list[Row]] = {}
    for row, text in _fit(rows, classes, dropped):
        same.setdefault(identity_of(text), []).append(row)
    return [example for key, group in same.items() for example in _one(key, group, dropped)]


def _fit(rows: Iterable[Row], classes: tuple[str, ...], dropped: Dropped) -> Iterator[tuple[Row, str]]:
    for row in rows:
        problem = _problem(row)
        if problem:
            dropped.add(problem, row.name)
        elif row.label not in classes:
            dropped.add(_not_one_of(classes), row.name)
        else:
            assert row.text is not None
            yield row, row.text


def _not_one_of(classes: tuple[str, ...]) -> str:
    if len(classes) == 2:
        return f"class is neither {classes[0]!r} nor {classes[1]!r}"
    return f"class is none of {', '.join(map(repr, classes))}"


def _problem(row: Row) -> str:
    if row.problem:
        return row.problem
    if row.text is None or not row.text.strip():
        return "empty text"
    # Lone surrogates: bytes that are not UTF-8 in a table, or escaped so in JSON.
    if re.search(r"[\ud800-\udfff]", row.text):
        return "not UTF-8"
    return "missing label" if row.label is None else ""


def _one(key: str, rows: list[Row], dropped: Dropped) -> Iterator[Example]:
    if len({row.label for row in rows}) > 1:
        for row in rows:
            dropped.add("same text with two labels", row.name)
        return
    kept = min(rows, key=lambda row: (row.text, row.name))
    for row in rows:
        if row is not kept:
            dropped.add("same text again", row.name)
    assert kept.text is not None
    assert kept.label is not None
    digest = hashlib.sha256(key.encode()).hexdigest()
    groups = frozenset(row.group for row in rows if row.group is not None)
    told = [row.difficulty for row in rows if row.difficulty is not None]
    yield Example(digest[:16], kept.text, kept.label, groups, fmean(told) if told else None)


def summary_of(dropped: Dropped) -> Mapping[str, object]:
    """Returns the counts and names as plain data, most frequent reason first."""
    reasons = [reason for reason, _ in dropped.counts.most_common()]
    return {
        "dropped": {reason: dropped.counts[reason] for reason in reasons},
        "dropped_rows": {reason: dropped.rows[reason] for reason in reasons},
    }


def in_words(summary: Mapping[str, Any]) -> str:
    """Returns what `summary_of` counted as one sentence, which names rows of each reason; empty if it is nothing."""
    reasons = [
        f"{count:,} for {reason!r} ({', '.join(summary['dropped_rows'][reason])}{', ...' if count > _NAMED else ''})"
        for reason, count in summary.get("dropped", {}).items()
    ]
    total = sum(summary.get("dropped", {}).values())
    return f"{total:,} of {summary['rows']:,} rows were left out: {'; '.join(reasons)}." if total else ""
