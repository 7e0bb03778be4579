import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.spec import Splits
from w2s_ray.tasks.clean import Dropped, Example, clean
from w2s_ray.tasks.row import Row
from w2s_ray.tasks.split import clusters, split

CLASSES = ("neg", "pos")
SIZES = Splits(weak=40, student=80, validation=40)


def rows(numbers, groups: int | None = None) -> list[Row]:
    found = []
    for k in numbers:
        group = None if groups is None else f"g{random.Random(k).randrange(groups)}"
        found.append(Row(f"t:{k}", f"text number {k}", CLASSES[k % 2], group))
    return found


def examples(numbers, groups: int | None = None) -> list[Example]:
    return clean(rows(numbers, groups), CLASSES, Dropped())


def place_of(splits) -> dict[str, str]:
    return {example.id: name for name, found in splits.items() for example in found}


def test_each_split_has_exactly_the_size_asked_for_and_balanced_classes():
    splits = split(examples(range(1000)), CLASSES, Splits(weak=40, student=81, validation=41, test=60), 0)
    counts = {name: [sum(e.label == label for e in found) for label in CLASSES] for name, found in splits.items()}
    assert counts == {"weak": [20, 20], "student": [40, 41], "validation": [20, 21], "test": [30, 30]}


THREE = ("a", "b", "c")


def of_three(numbers) -> list[Example]:
    # A sixth is a, a third b, half c.
    return [Example(f"{k:016x}", f"text {k}", THREE[(k % 6 > 0) + (k % 6 > 2)]) for k in numbers]


def counts(found: list[Example]) -> list[int]:
    return [sum(example.label == label for example in found) for label in THREE]


def test_three_classes_are_balanced_and_the_last_ones_get_what_is_over():
    splits = split(of_three(range(3000)), THREE, Splits(weak=41, student=90, validation=40), 0)
    assert [counts(splits[name]) for name in ("weak", "student", "validation")] == [
        [13, 14, 14],
        [30, 30, 30],
        [13, 13, 14],
    ]
    assert len(set(counts(splits["test"]))) == 1
    assert counts(splits["test"])[0] > 60


def test_without_balance_the_classes_are_as_frequent_as_in_the_data():
    splits = split(of_three(range(6000)), THREE, Splits(weak=300, student=900, validation=300), 0, balance=False)
    assert {name: len(found) for name, found in splits.items() if name != "test"} == {
        "weak": 300,
        "student": 900,
        "validation": 300,
    }
    for found in splits.values():
        shares = [count / len(found) for count in counts(found)]
        assert shares == pytest.approx([1 / 6, 1 / 3, 1 / 2], abs=0.08)


def test_without_balance_too_few_examples_are_told_too():
    with pytest.raises(ValueError, match=r"the weak split needs 300 examples, but its range holds \d+; lower"):
        split(of_three(range(600)), THREE, Splits(weak=300, student=900, validation=300), 0, balance=False)


def test_a_split_has_room_for_every_class():
    with pytest.raises(ValueError, match=r"task\.splits\.weak must be at least 3, .* got 2"):
        split(of_three(range(900)), THREE, Splits(weak=2, student=30, validation=30), 0)


def test_a_test_split_of_null_takes_all_of_its_range_that_is_balanced():
    few, many = (len(split(examples(range(n)), CLASSES, SIZES, 0)["test"]) for n in (1000, 4000))
    assert 200 < few < 400
    assert 3 < many / few < 5
    unbalanced = [e for e in examples(range(4000)) if e.label == "pos" or int(e.id, 16) % 4 == 0]
    found = split(unbalanced, CLASSES, SIZES, 0)["test"]
    assert sum(e.label == "pos" for e in found) * 2 == len(found)


def test_no_text_is_in_two_splits():
    splits = split(examples(range(1000)), CLASSES, SIZES, 0)
    texts = [example.text for found in splits.values() for example in found]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_splits(seed):
    splits = split(examples(range(3000), groups=700), CLASSES, SIZES, seed)
    groups = [{group for example in found for group in example.groups} for found in splits.values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_groups_that_share_a_text_stay_together():
    table = rows(range(2000), groups=900)
    shared = [Row(f"s:{k}", f"shared {k}", "pos", f"g{2 * k + end}") for k in range(60) for end in (0, 1)]
    splits = split(clean([*table, *shared], CLASSES, Dropped()), CLASSES, SIZES, 0)
    where = {group: name for name, found in splits.items() for example in found for group in example.groups}
    pairs = [
        (where[f"g{2 * k}"], where[f"g{2 * k + 1}"]) for k in range(60) if {f"g{2 * k}", f"g{2 * k + 1}"} <= set(where)
    ]
    assert len(pairs) > 10
    assert all(one == other for one, other in pairs)


def test_a_chain_of_shared_groups_is_one_cluster():
    chain = [Example(str(k), f"t{k}", "pos", frozenset({f"g{k}", f"g{k + 1}"})) for k in range(20)]
    assert len(set(clusters(random.Random(0).sample(chain, 20)).values())) == 1
    assert len(set(clusters([Example("a", "a", "pos"), Example("b", "b", "pos")]).values())) == 2


@settings(max_examples=25, deadline=None)
@given(
    added=st.integers(1, 400),
    groups=st.sampled_from([None, 500]),
    seed=st.integers(0, 2**31),
    shuffle=st.integers(0, 2**31),
)
def test_adding_rows_moves_no_example_to_another_split(added, groups, seed, shuffle):
    before = split(examples(range(1500), groups), CLASSES, SIZES, seed)
    more = rows([*range(1500), *range(10_000, 10_000 + added)], groups)
    random.Random(shuffle).shuffle(more)
    after = place_of(split(clean(more, CLASSES, Dropped()), CLASSES, SIZES, seed))
    assert all(after.get(id, name) == name for id, name in place_of(before).items())


def test_adding_rows_takes_few_places_of_others():
    before = place_of(split(examples(range(3000)), CLASSES, SIZES, 0))
    after = place_of(split(examples(range(3030)), CLASSES, SIZES, 0))
    assert len(before.keys() - after.keys()) <= 10


@settings(max_examples=15, deadline=None)
@given(shuffle=st.integers(0, 2**31))
def test_the_order_of_the_rows_does_not_matter(shuffle):
    table = rows(range(800), groups=300)
    expected = split(clean(table, CLASSES, Dropped()), CLASSES, SIZES, 3)
    random.Random(shuffle).shuffle(table)
    assert split(clean(table, CLASSES, Dropped()), CLASSES, SIZES, 3) == expected


def test_another_seed_splits_otherwise():
    first, second = (place_of(split(examples(range(1000)), CLASSES, SIZES, seed)) for seed in (0, 1))
    assert sum(second.get(id) != name for id, name in first.items()) > 100


def test_too_few_examples_are_told_with_numbers_and_the_mend():
    with pytest.raises(ValueError, match=r"the weak split needs 20 .* holds \d+; lower task\.splits\.weak to \d+ or"):
        split(examples(range(100)), CLASSES, SIZES, 0)
    with pytest.raises(ValueError, match=r"class 'neg'.*holds 0; lower all of task\.splits"):
        split([e for e in examples(range(900)) if e.label == "pos"], CLASSES, SIZES, 0)


@pytest.mark.parametrize("seed", range(20))
def test_data_that_is_a_little_larger_than_the_sizes_and_their_margins_suffices(seed):
    # 40 + 80 + 40 + 80 with three standard deviations for each: 240 + 6 * (2 * sqrt(20) + 2 * sqrt(40)) = 370.
    splits = split(examples(range(400)), CLASSES, SIZES, seed)
    assert len(splits["student"]) == 80


def test_with_a_test_file_its_rows_are_the_test_and_leave_training_with_their_texts_and_groups():
    training = examples(range(1000), groups=400)
    tests = examples([*range(5000, 5200), *range(100)], groups=400)
    dropped = Dropped()
    splits = split(training, CLASSES, SIZES, 0, tests, dropped)
    assert {e.id for e in splits["test"]} <= {e.id for e in tests}
    assert len(splits["test"]) == 300
    tested = {group for e in tests for group in e.groups}
    for name in ("weak", "student", "validation"):
        assert all(not e.groups & tested for e in splits[name])
    assert dropped.counts["text or group is in the test file"] == sum(bool(e.groups & tested) for e in training)


def test_with_a_test_file_and_no_groups_only_the_same_texts_leave_training():
    dropped = Dropped()
    splits = split(examples(range(1000)), CLASSES, SIZES, 0, examples(range(900, 1100)), dropped)
    assert dropped.counts == {"text or group is in the test file": 100}
    assert len(splits["test"]) == 200
