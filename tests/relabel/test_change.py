"""What operations on labels do, and what they leave alone."""

from collections.abc import Callable

import numpy as np
import pytest

from w2s_ray.labels import GROUND_TRUTH, Labels, ground_truth
from w2s_ray.relabel import change
from w2s_ray.relabel.draws import parts_of, places

Make = Callable[..., Labels]


def truth_of(labels: Labels) -> Labels:
    """Ground truth that disagrees with about half of the labels."""
    classes = (np.arange(len(labels.ids)) % labels.probabilities.shape[1]).astype(np.int64)
    return ground_truth(labels.ids, classes, labels.probabilities.shape[1])


def test_the_mean_of_several_supervisors_is_matched_by_example_not_by_row(weak: Make) -> None:
    one, other = weak(seed=0), weak(seed=1)
    shuffled = other.of(other.ids[::-1])
    expected = (one.probabilities + other.probabilities) / 2
    assert change.mean([one, shuffled]).probabilities == pytest.approx(expected, abs=1e-6)
    with pytest.raises(KeyError):
        change.mean([one, other.of(other.ids[1:])])


def test_a_temperature_of_two_takes_the_root_of_the_odds_and_one_changes_nothing(weak: Make) -> None:
    labels = weak()
    odds = labels.probabilities[:, 1] / labels.probabilities[:, 0]
    tempered = change.temper(labels, 2.0).probabilities
    assert tempered[:, 1] / tempered[:, 0] == pytest.approx(np.sqrt(odds), rel=1e-3)
    assert change.temper(labels, 1.0).probabilities == pytest.approx(labels.probabilities, abs=1e-6)


def test_temperature_never_changes_a_class_and_lives_with_certain_labels(weak: Make) -> None:
    labels = weak(classes=3)
    for temperature in (0.01, 0.5, 50.0):
        assert (change.temper(labels, temperature).classes == labels.classes).all()
    certain = truth_of(labels)
    assert change.temper(certain, 0.5).probabilities == pytest.approx(certain.probabilities)


def test_hard_labels_are_one_class_each_the_most_probable_one(weak: Make) -> None:
    labels = weak(classes=4)
    hard = change.harden(labels)
    assert set(np.unique(hard.probabilities)) == {0.0, 1.0}
    assert (hard.classes == labels.classes).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_ties_are_not_all_given_to_the_first_class(weak: Make, classes: int) -> None:
    ids = weak(600).ids
    tied = Labels(ids, np.full((600, classes), 1 / classes, dtype=np.float32), "weak stage")
    shares = change.harden(tied).probabilities.mean(axis=0)
    assert shares == pytest.approx([1 / classes] * classes, abs=0.07)
    backwards = change.harden(tied.of(ids[::-1]))
    assert (backwards.of(ids).classes == change.harden(tied).classes).all(), "content decides, not the order"


def test_the_confidence_filter_keeps_the_surest_share_of_each_class_with_their_labels(weak: Make) -> None:
    labels = weak()
    kept = change.keep_confident(labels, 0.25)
    assert (kept.probabilities == labels.of(kept.ids).probabilities).all()
    sure = labels.probabilities.max(axis=1)
    for number in (0, 1):
        of_class = sure[labels.classes == number]
        expected = np.sort(of_class)[-round(0.25 * len(of_class)) :]
        assert np.sort(kept.probabilities.max(axis=1)[kept.classes == number]) == pytest.approx(expected)


def test_a_supervisor_surer_of_one_class_does_not_make_the_filter_drop_the_other(weak: Make) -> None:
    ids = weak(100).ids
    positive = np.where(np.arange(100) < 50, 0.95, 0.4)
    labels = Labels(ids, np.stack([1 - positive, positive], axis=1).astype(np.float32), "weak stage")
    assert np.bincount(change.keep_confident(labels, 0.1).classes).tolist() == [5, 5]


def test_the_filter_never_empties_a_class(weak: Make) -> None:
    labels = weak(30, classes=3)
    assert set(change.keep_confident(labels, 1e-6).classes) == set(labels.classes)


def test_labels_with_ground_truth_among_them_say_so_and_others_do_not(weak: Make) -> None:
    labels = weak()
    truth = truth_of(labels)
    mixed = change.put_truth(labels, truth, 0.1, seed=0)
    assert mixed.know_truth
    assert GROUND_TRUTH in mixed.origin
    assert "weak stage" in mixed.origin
    untouched = [change.temper(labels, 2), change.harden(labels), change.keep_confident(labels, 0.5)]
    assert not any(one.know_truth for one in (*untouched, change.mean([labels, labels])))
    assert change.harden(mixed).know_truth, "what comes after does not hide it"


def test_a_fraction_of_ground_truth_is_exact_and_a_larger_one_holds_a_smaller(weak: Make) -> None:
    labels = weak()
    truth = truth_of(labels)

    def replaced(fraction: float, seed: int = 0) -> set[str]:
        mixed = change.put_truth(labels, truth, fraction, seed)
        same = (mixed.probabilities == truth.probabilities).all(axis=1)
        assert (mixed.probabilities[~same] == labels.probabilities[~same]).all()
        return set(mixed.ids[same].tolist())

    assert [len(replaced(fraction)) for fraction in (0, 0.1, 0.5, 1)] == [0, 40, 200, 400]
    assert replaced(0.1) < replaced(0.5)
    assert replaced(0.1) != replaced(0.1, seed=1)


def test_a_flipped_label_keeps_its_confidence_in_another_class(weak: Make) -> None:
    labels = weak()
    rows = np.arange(0, 400, 4)
    flipped = change.flip(labels, rows, seed=0)
    assert (flipped.probabilities[rows] == labels.probabilities[rows][:, ::-1]).all()
    others = np.setdiff1d(np.arange(400), rows)
    assert (flipped.probabilities[others] == labels.probabilities[others]).all()


def test_with_several_classes_a_label_is_flipped_to_any_of_the_others(weak: Make) -> None:
    labels = weak(900, classes=3)
    flipped = change.flip(labels, np.arange(900), seed=0)
    steps = (flipped.classes - labels.classes) % 3
    assert np.bincount(steps, minlength=3)[0] == 0
    assert np.bincount(steps, minlength=3)[1] == pytest.approx(450, abs=60)
    assert np.sort(flipped.probabilities, axis=1) == pytest.approx(np.sort(labels.probabilities, axis=1))


def test_chance_belongs_to_the_example_so_new_examples_move_no_other(weak: Make) -> None:
    few, many = weak(100).ids, weak(200).ids
    assert (places(many, "x")[:100] == places(few, "x")).all()
    assert places(many, "x").mean() == pytest.approx(0.5, abs=0.08)
    assert (parts_of(many, 3, "part")[:100] == parts_of(few, 3, "part")).all()
    assert set(parts_of(many, 3, "part")) == {0, 1, 2}
