"""Which examples become wrong first under each error structure of appendix E.2."""

from collections.abc import Callable

import numpy as np
import pytest

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.relabel.structure import order_of

Make = Callable[..., Labels]


@pytest.fixture
def truth(weak: Make) -> Labels:
    ids = weak(6).ids
    return ground_truth(ids, np.array([0, 1, 0, 1, 0, 1]), 2)


TEXTS = ["aaa", "a", "aaaaa", "aa", "aaaa", "aaaaaa"]


def test_the_longest_and_the_shortest_texts_come_first(truth: Labels) -> None:
    assert order_of("longest", truth, TEXTS, None, 0).tolist() == [5, 2, 4, 0, 3, 1]
    assert order_of("shortest", truth, TEXTS, None, 0).tolist() == [1, 3, 0, 4, 2, 5]


def test_the_ceiling_is_unconfident_where_it_is_unsure_and_confident_where_it_is_surely_right(truth: Labels) -> None:
    positive = np.array([0.01, 0.99, 0.45, 0.60, 0.95, 0.30], dtype=np.float32)  # right, right, right, right, wrong x 2
    ceiling = Labels(truth.ids, np.stack([1 - positive, positive], axis=1), "ceiling")
    backwards = ceiling.of(truth.ids[::-1])  # it is matched by example
    assert order_of("ceiling-unconfident", truth, TEXTS, backwards, 0)[:3].tolist() == [2, 3, 5]
    assert set(order_of("ceiling-confident", truth, TEXTS, backwards, 0)[:2].tolist()) == {0, 1}
    assert order_of("ceiling-confident", truth, TEXTS, backwards, 0)[-1] == 4


def test_random_errors_depend_on_the_seed_and_on_nothing_else(truth: Labels) -> None:
    first = order_of("random", truth, TEXTS, None, 0).tolist()
    assert order_of("random", truth, ["x"] * 6, None, 0).tolist() == first
    assert len({tuple(order_of("random", truth, TEXTS, None, seed).tolist()) for seed in range(5)}) > 1
    assert sorted(first) == list(range(6))
