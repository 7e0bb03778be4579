"""Probes judge a label without having seen it; the released code's kNN counts each example as its own neighbour."""

from collections.abc import Callable

import numpy as np
import pytest

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.relabel import probes
from w2s_ray.relabel.change import flip

Make = Callable[..., Labels]
PROBES = {"knn": probes.neighbours(5), "logistic": probes.logistic(1e-2)}


@pytest.fixture
def clusters(weak: Make) -> tuple[Labels, np.ndarray]:
    """Two well separated clouds and the labels that fit them."""
    ids = weak(300).ids
    classes = (np.arange(300) % 2).astype(np.int64)
    features = np.random.default_rng(0).normal(size=(300, 8)) + 4 * classes[:, None]
    return ground_truth(ids, classes, 2), features.astype(np.float32)


@pytest.mark.parametrize("name", PROBES)
def test_a_lone_wrong_label_is_put_right_by_its_surroundings(name: str, clusters: tuple[Labels, np.ndarray]) -> None:
    truth, features = clusters
    wrong = np.arange(0, 300, 31)
    made = probes.relabel(flip(truth, wrong, 0), features, PROBES[name])
    assert (made.classes[wrong] == truth.classes[wrong]).all()
    assert made.probabilities.sum(axis=1) == pytest.approx(np.ones(300), abs=1e-5)


@pytest.mark.parametrize("name", PROBES)
def test_an_examples_own_label_has_no_part_in_its_judgement(name: str, clusters: tuple[Labels, np.ndarray]) -> None:
    truth, features = clusters
    for row in (0, 17, 123):
        before = probes.out_of_fold(truth, features, PROBES[name])[row]
        after = probes.out_of_fold(flip(truth, np.array([row]), 0), features, PROBES[name])[row]
        assert (before == after).all()


def test_one_neighbour_on_random_labels_is_no_better_than_chance(weak: Make) -> None:
    """With itself among its neighbours every example would be right."""
    labels = weak(1000)
    features = np.random.default_rng(1).normal(size=(1000, 6)).astype(np.float32)
    made = probes.relabel(labels, features, probes.neighbours(1))
    assert float((made.classes == labels.classes).mean()) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", PROBES)
def test_the_filter_drops_wrong_labels_first_and_the_share_it_was_told(
    name: str, clusters: tuple[Labels, np.ndarray]
) -> None:
    truth, features = clusters
    wrong = np.concatenate([np.arange(0, 300, 20), np.arange(1, 300, 20)])
    given = flip(truth, wrong, 0)
    kept = probes.drop_suspects(given, features, PROBES[name], 0.1)
    assert len(kept.ids) == 270
    assert not set(given.ids[wrong].tolist()) & set(kept.ids.tolist())
    assert (kept.probabilities == given.of(kept.ids).probabilities).all()


def test_soft_labels_stay_soft_in_both_probes(weak: Make) -> None:
    labels = weak(200)
    features = np.zeros((200, 3), dtype=np.float32)  # nothing to learn from: every probe gives the mean
    for probe in (probes.neighbours(500), probes.logistic(1e-2)):
        made = probes.relabel(labels, features, probe)
        assert made.probabilities.mean(axis=0) == pytest.approx(labels.probabilities.mean(axis=0), abs=0.02)


def test_the_logistic_probe_is_the_minimum_of_its_loss_against_sklearns(clusters: tuple[Labels, np.ndarray]) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    truth, features = clusters
    known, asked = features[:200].astype(np.float64), features[200:].astype(np.float64)
    hard = flip(truth, np.arange(0, 200, 9), 0)
    # sklearn: sum of losses + |W|^2 / (2 C); its two-class form has one weight vector, ours two opposite halves.
    reference = linear.LogisticRegression(C=1 / (200 * 0.1 / 2), tol=1e-8, max_iter=1000).fit(known, hard.classes[:200])
    found = probes.logistic(0.1)(known, hard.probabilities[:200].astype(np.float64), asked)
    assert found == pytest.approx(reference.predict_proba(asked), abs=2e-3)


def test_one_example_cannot_be_judged_by_others(weak: Make) -> None:
    with pytest.raises(ValueError, match=r"labels\.probe"):
        probes.relabel(weak(1), np.zeros((1, 2), dtype=np.float32), probes.neighbours(5))
