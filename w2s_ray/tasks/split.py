"""Weak, student, validation and test: disjoint by group and text, balanced, of exact size, stable when rows come in.

Examples that share a group form a cluster, which stays together. The seeded hash of a cluster's key is a place in
[0, 1); each split owns a fixed range of places, and takes from it, class by class, the examples with the smallest
hashes. So which split an example may be in depends on its group (or its text, without groups), the seed and the sizes
asked for, and on no other row: adding rows can take an example's place within its split, but never move it to another.
(Cutting one ranked list moved 85 of 4,800 rows when 100 came in.) Only a row that joins two groups can move one.

A range is as wide, relative to the others, as the split is large, plus three standard deviations of what falls into it
by chance. `test: null` takes all that is balanced in a range as wide as the student's: a width that depended on the
number of rows would move examples when rows are added. With a test file there are only the three other ranges. Where
difficulty keeps a part of a range out of its split (`difficulty`), the range is wider in proportion.
"""

import bisect
import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from w2s_ray.spec.task import Splits
from w2s_ray.tasks.clean import Dropped, Example
from w2s_ray.tasks.difficulty import Borders

TRAINING = ("weak", "student", "validation")
TEST = "test"


def split(
    examples: Sequence[Example],
    classes: tuple[str, ...],
    sizes: Splits,
    seed: int,
    test_examples: Sequence[Example] | None = None,
    dropped: Dropped | None = None,
    balance: bool = True,
    borders: Borders | None = None,
) -> dict[str, list[Example]]:
    """Divides examples, which have different texts, among the four splits.

    Args:
        examples: all of them, or those that are not from the test file.
        classes: all labels; what a size has beyond equal parts goes to the last ones, one each.
        sizes: examples per split.
        seed: which of the possible splits.
        test_examples: those of the test file. An example whose text or group is among them is left out of training.
        dropped: told of what is left out so.
        balance: whether a split has as many examples of each class, or takes those with the smallest hashes.
        borders: says which examples are easy or hard enough for a split; None takes all.

    Returns:
        Split to its examples, by hash. An example that no split asked for is in none.

    Raises:
        ValueError: a range holds too few examples (of a class), or a split is smaller than the number of classes.
    """
    key_of = clusters([*examples, *(test_examples or ())])
    ranges = _ranges(sizes, len(classes) if balance else 1, test_examples is None, borders)
    pools: dict[str, list[Example]] = {name: [] for name in (*TRAINING, TEST)}
    pools[TEST].extend(test_examples or ())
    tested = {key_of[example.id] for example in pools[TEST]}
    for example in examples:
        key = key_of[example.id]
        if key not in tested:
            pools[_at(ranges, _place(key, seed))].append(example)
        elif dropped is not None:
            dropped.add("text or group is in the test file", f"text {example.text[:40]!r}")
    if borders is not None:
        pools = {name: [one for one in pool if borders.admit(name, one)] for name, pool in pools.items()}
    try:
        if not balance:
            return {name: _take(name, pools[name], sizes, seed) for name in pools}
        return {name: _choose(name, pools[name], classes, sizes, seed) for name in pools}
    except ValueError as error:
        if borders is None:
            raise
        raise ValueError(f"{error}; task.difficulty keeps a part of each range out of its split") from None


def clusters(examples: Iterable[Example]) -> dict[str, str]:
    """Returns, for each example's id, the key of its cluster: its smallest group, or its id if it has none.

    Examples belong together if they share a group, directly or through others, or have the same id.
    """
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    ids = []
    for example in examples:
        ids.append(example.id)
        # Groups sort before texts, so a cluster's smallest node is a group wherever there is one, and a text that is
        # new to a group does not change the cluster's key.
        for group in example.groups:
            first, second = sorted((root(f"text {example.id}"), root(f"group {group}")))
            parent[second] = first
    return {id: root(f"text {id}") for id in ids}


def _ranges(sizes: Splits, parts: int, with_test: bool, borders: Borders | None) -> list[tuple[str, float]]:
    """Returns each split with the end of its range, in order; a split is filled from so many `parts` by themselves."""
    wanted: dict[str, int] = {name: getattr(sizes, name) for name in TRAINING}
    if with_test:
        wanted[TEST] = sizes.student if sizes.test is None else sizes.test
    # n/c of each of c classes, with a standard deviation of sqrt(n/c); three of these for every class.
    shares = [1.0 if borders is None else borders.share(name) for name in wanted]
    weights = [(n + parts * 3 * math.sqrt(n / parts)) / s for n, s in zip(wanted.values(), shares, strict=True)]
    ends = [end / sum(weights) for end in itertools.accumulate(weights)]
    return list(zip(wanted, ends, strict=True))


def _at(ranges: list[tuple[str, float]], place: float) -> str:
    index = bisect.bisect_right([end for _, end in ranges], place)
    return ranges[min(index, len(ranges) - 1)][0]


def _place(key: str, seed: int) -> float:
    return _hash(f"place {seed} {key}") / 2**64


def _hash(text: str) -> int:
    # A group may hold anything, a lone surrogate included.
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _by_hash(pool: list[Example], seed: int) -> list[Example]:
    return sorted(pool, key=lambda example: (_hash(f"rank {seed} {example.id}"), example.id))


def _take(name: str, pool: list[Example], sizes: Splits, seed: int) -> list[Example]:
    """Takes the examples with the smallest hashes, whatever their class."""
    size: int | None = getattr(sizes, name)
    if len(pool) < (size or 1):
        fix = f"lower task.splits.{name} to {len(pool):,} or less, or lower all of task.splits in proportion"
        raise ValueError(f"the {name} split needs {size or 1:,} examples, but its range holds {len(pool):,}; {fix}")
    return _by_hash(pool, seed)[:size]


def _choose(name: str, pool: list[Example], classes: tuple[str, ...], sizes: Splits, seed: int) -> list[Example]:
    by_hash = _by_hash(pool, seed)
    of_class = {label: [example for example in by_hash if example.label == label] for label in classes}
    size: int | None = getattr(sizes, name)
    if size is None:
        each = max(min(map(len, of_class.values())), 1)
        wanted = dict.fromkeys(classes, each)
    else:
        each, more = divmod(size, len(classes))
        wanted = {label: each + (place >= len(classes) - more) for place, label in enumerate(classes)}
    if min(wanted.values()) < 1:
        raise ValueError(f"task.splits.{name} must be at least {len(classes)}, one example of each class, got {size}")
    for label, count in wanted.items():
        if len(of_class[label]) < count:
            raise ValueError(_too_few(name, label, len(of_class[label]), count, wanted, of_class))
    chosen = {example.id for label, count in wanted.items() for example in of_class[label][:count]}
    return [example for example in by_hash if example.id in chosen]


def _too_few(
    name: str, label: str, here: int, count: int, wanted: Mapping[str, int], of_class: Mapping[str, list[Example]]
) -> str:
    most = len(of_class) * min(map(len, of_class.values()))
    lower = f"lower task.splits.{name} to {most:,} or less, or " if most >= len(of_class) else ""
    return (
        f"the {name} split needs {count:,} examples of class {label!r} ({sum(wanted.values()):,} examples, balanced), "
        f"but its range of the data holds {here:,}; {lower}lower all of task.splits in proportion (test: null counts "
        f"as much as student, so giving test a size helps too)"
    )
