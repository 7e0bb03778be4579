import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from w2s_ray.spec import Columns, Difficulty, Splits, Task
from w2s_ray.tasks import fingerprint
from w2s_ray.tasks.clean import Example
from w2s_ray.tasks.difficulty import Borders, borders_of, difficulty_of, in_words
from w2s_ray.tasks.split import split
from w2s_ray.tasks.table import row_of

CLASSES = ("neg", "pos")
SIZES = Splits(weak=40, student=80, validation=40)
HALVES = Difficulty(by="column")


def examples(numbers) -> list[Example]:
    """Two or three rows a group; a difficulty that neither group nor class tells."""
    return [
        Example(f"{k:016x}", f"text {k}", CLASSES[k % 2], frozenset({f"g{k // 5}"}), random.Random(k).random())
        for k in numbers
    ]


def parted(found: list[Example], seed: int = 0) -> tuple[dict[str, list[Example]], Borders]:
    borders = borders_of(found, CLASSES, HALVES)
    return split(found, CLASSES, SIZES, seed, borders=borders), borders


def place_of(splits: dict[str, list[Example]]) -> dict[str, str]:
    return {example.id: name for name, found in splits.items() for example in found}


@pytest.mark.parametrize("seed", range(3))
def test_every_example_of_the_weak_supervisor_is_easier_than_every_other_of_its_class(seed: int) -> None:
    splits, _ = parted(examples(range(3000)), seed)
    for label in CLASSES:
        easiest = max(e.difficulty or 0 for e in splits["weak"] if e.label == label)
        others = [e.difficulty or 0 for name in ("student", "validation", "test") for e in splits[name]]
        assert easiest < min(others) + 0.05
        assert easiest < min(
            e.difficulty or 0 for n in ("student", "validation", "test") for e in splits[n] if e.label == label
        )


def test_sizes_are_exact_classes_balanced_and_no_group_is_in_two_splits() -> None:
    splits, _ = parted(examples(range(3000)))
    assert [len(splits[name]) for name in ("weak", "student", "validation")] == [40, 80, 40]
    assert all(sum(e.label == "pos" for e in found) * 2 == len(found) for found in splits.values())
    groups = [{group for e in found for group in e.groups} for found in splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


@settings(max_examples=20, deadline=None)
@given(added=st.integers(1, 400), seed=st.integers(0, 2**31), shuffle=st.integers(0, 2**31))
def test_adding_rows_in_any_order_moves_no_example_to_another_split(added: int, seed: int, shuffle: int) -> None:
    before, _ = parted(examples(range(2000)), seed)
    more = examples([*range(2000), *range(10_000, 10_000 + added)])
    random.Random(shuffle).shuffle(more)
    after = place_of(parted(more, seed)[0])
    assert all(after.get(id, name) == name for id, name in place_of(before).items())


def test_examples_of_one_difficulty_are_on_one_side_and_without_a_harder_one_the_mend_is_told() -> None:
    levels = [Example(str(k), "t", "pos", frozenset(), float(level)) for k, level in enumerate([1, 1, 1, 2, 3])]
    borders = borders_of(levels, ("pos",), HALVES)
    assert (borders.easy["pos"], borders.hard["pos"]) == (1, 2)
    same = [Example(str(k), "t", "pos", frozenset(), 1.0) for k in range(4)]
    with pytest.raises(ValueError, match=r"lower task\.difficulty\.easy"):
        borders_of(same, ("pos",), HALVES)


def test_too_few_easy_examples_are_told_to_be_so() -> None:
    with pytest.raises(ValueError, match=r"the weak split needs.*task\.difficulty keeps a part"):
        parted(examples(range(100)))


def test_length_is_counted_in_words_and_a_column_must_hold_numbers() -> None:
    assert difficulty_of(Example("a", "one two  three", "pos"), Difficulty(by="length")) == 3
    columns = Columns(difficulty="level")
    assert row_of("t:1", {"text": "a", "label": 1, "level": "2.5"}, columns).difficulty == 2.5
    assert row_of("t:2", {"text": "a", "label": 1, "level": "hard"}, columns).problem == "difficulty is not a number"


def test_a_difficulty_that_cannot_be_had_is_answered_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="not by 'boolq'"):
        fingerprint(Task(source="boolq", splits=SIZES, difficulty=Difficulty(by="rating")))
    with pytest.raises(ValidationError, match=r"needs columns\.difficulty"):
        Task(source="t.csv", splits=SIZES, difficulty=HALVES)
    with pytest.raises(ValidationError, match="at most 1 together"):
        Difficulty(by="length", easy=0.6, hard=0.6)


def test_the_report_says_where_easy_ends_and_hard_begins() -> None:
    _, borders = parted(examples(range(3000)))
    assert "learned from easy examples" in in_words({"difficulty": borders.summary()})
    assert in_words({}) == ""
