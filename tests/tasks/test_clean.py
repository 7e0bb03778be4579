import random

import pytest

from w2s_ray.tasks.clean import Dropped, classes_of, clean, identity_of, in_words, summary_of
from w2s_ray.tasks.row import Row, cell

CLASSES = ("neg", "pos")


def rows(*values: tuple[str | None, str | None]) -> list[Row]:
    return [Row(f"t.csv:{number}", text, label) for number, (text, label) in enumerate(values, start=2)]


def test_every_bad_row_is_counted_by_reason_and_named():
    dropped = Dropped()
    table = rows(
        ("good", "pos"),
        ("", "pos"),
        (" \t\n", "neg"),
        (None, "neg"),
        ("no label", None),
        ("third", "maybe"),
        ("caf\udce9", "pos"),
        ("both", "pos"),
        ("both", "neg"),
        ("twice", "neg"),
        ("twice", "neg"),
    )
    assert [example.text for example in clean(table, CLASSES, dropped)] == ["good", "twice"]
    assert dropped.rows == {
        "empty text": ["t.csv:3", "t.csv:4", "t.csv:5"],
        "missing label": ["t.csv:6"],
        "class is neither 'neg' nor 'pos'": ["t.csv:7"],
        "not UTF-8": ["t.csv:8"],
        "same text with two labels": ["t.csv:9", "t.csv:10"],
        "same text again": ["t.csv:12"],
    }
    assert dropped.counts.total() + 2 == len(table)


def test_only_the_first_rows_of_a_reason_are_named_but_all_are_counted():
    dropped = Dropped()
    clean(rows(*[("", "pos")] * 40), CLASSES, dropped)
    assert dropped.counts == {"empty text": 40}
    assert len(dropped.rows["empty text"]) == 5


def test_what_was_left_out_is_said_with_counts_and_names():
    dropped = Dropped()
    clean(rows(("", "pos"), ("good", "pos"), ("no label", None), *[("", "pos")] * 5), CLASSES, dropped)
    assert in_words({"rows": 8, **summary_of(dropped)}) == (
        "7 of 8 rows were left out: 6 for 'empty text' (t.csv:2, t.csv:5, t.csv:6, t.csv:7, t.csv:8, ...); "
        "1 for 'missing label' (t.csv:4)."
    )
    assert in_words({"rows": 8, **summary_of(Dropped())}) == ""


@pytest.mark.parametrize(
    "other", ["A  good film ", "a GOOD film", "a good\tfilm", "\na good film"], ids=["spaces", "case", "tab", "newline"]
)
def test_texts_that_differ_in_case_or_white_space_are_the_same(other):
    assert identity_of(other) == identity_of("a good film")


def test_texts_that_differ_in_composition_are_the_same():
    assert identity_of("cafe\u0301") == identity_of("café")
    assert identity_of("İ") == identity_of("i\u0307")


def test_texts_that_differ_in_a_word_or_an_accent_are_not_the_same():
    assert len({identity_of(text) for text in ("cafe", "café", "a cafe")}) == 3


def test_the_text_is_kept_as_it_is():
    kept = clean(rows(("  Two\n lines ", "pos")), CLASSES, Dropped())
    assert kept[0].text == "  Two\n lines "


def test_a_repeated_text_belongs_to_the_groups_of_all_its_rows():
    table = [Row("a", "same", "pos", "g1"), Row("b", "Same", "pos", "g2"), Row("c", "same", "pos", None)]
    assert clean(table, CLASSES, Dropped())[0].groups == {"g1", "g2"}


def test_the_order_of_the_rows_does_not_matter():
    table = rows(
        *[(f"text {k % 50}" if k % 3 else f"TEXT {k % 50}", "pos" if k % 50 < 20 else "neg") for k in range(200)]
    )
    shuffled = random.Random(0).sample(table, len(table))
    first, second = Dropped(), Dropped()
    by_id = sorted(clean(table, CLASSES, first), key=lambda example: example.id)
    assert by_id == sorted(clean(shuffled, CLASSES, second), key=lambda example: example.id)
    assert first.counts == second.counts


def test_the_two_most_frequent_classes_are_the_task_in_the_order_of_their_names():
    assert classes_of(rows(*[("a", "yes")] * 60, *[("b", "no")] * 40, ("c", "unsure"))) == ("no", "yes")


def test_a_large_third_class_is_an_error_that_names_the_classes():
    table = rows(*[("a", "yes")] * 60, *[("b", "no")] * 40, *[("c", "unsure")] * 6)
    with pytest.raises(ValueError, match=r"got 3: 'yes' \(60 rows\), 'no' \(40 rows\), 'unsure' \(6 rows\)"):
        classes_of(table)


def test_a_task_has_as_many_classes_as_it_says():
    table = rows(*[("a", "yes")] * 60, *[("b", "no")] * 40, *[("c", "unsure")] * 6, ("d", "what"))
    assert classes_of(table, 3) == ("no", "unsure", "yes")
    assert classes_of(table, ("yes", "unsure")) == ("yes", "unsure")
    with pytest.raises(ValueError, match=r"lists 'maybe', which no row has; got 'yes' \(60 rows\)"):
        classes_of(table, ("yes", "no", "maybe"))
    with pytest.raises(ValueError, match=r"needs 5 classes, got 'yes'"):
        classes_of(table, 5)


def test_a_class_that_a_listed_task_does_not_have_is_left_out_and_named():
    dropped = Dropped()
    table = rows(("a", "no"), ("b", "unsure"), ("c", "yes"), ("d", "what"))
    assert [one.label for one in clean(table, ("no", "unsure", "yes"), dropped)] == ["no", "unsure", "yes"]
    assert dropped.rows == {"class is none of 'no', 'unsure', 'yes'": ["t.csv:5"]}


def test_a_third_class_that_is_no_noise_is_told_with_the_list_to_write():
    table = rows(*[("a", "yes")] * 60, *[("b", "no")] * 40, *[("c", "unsure")] * 20)
    with pytest.raises(ValueError, match=r"task\.classes: \[yes, no, unsure\]"):
        classes_of(table)


def test_one_class_is_no_task():
    with pytest.raises(ValueError, match=r"needs two classes, got 'yes' \(1 rows\)"):
        classes_of(rows(("a", "yes"), ("b", None), ("", "no")))


def test_a_label_is_the_same_whatever_it_was_stored_as():
    assert [cell(value) for value in (1, 1.0, "1", " 1 ")] == ["1"] * 4
    assert [cell(value) for value in (None, float("nan"), "", "  ")] == [None] * 4
    assert [cell(value) for value in (True, False, 0.5)] == ["true", "false", "0.5"]
