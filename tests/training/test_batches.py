import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.training.batches import by_length, by_tokens, epoch_batches, share

LENGTHS = np.random.default_rng(0).integers(1, 60, size=5003)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_every_epoch_holds_every_example_once_in_full_batches_but_one(lengths: np.ndarray | None) -> None:
    batches = epoch_batches(5003, lengths, 32, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(5003))
    assert sorted(map(len, batches)) == [5003 % 32] + [32] * (5003 // 32)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_seed_and_epoch_alone_decide_the_order(lengths: np.ndarray | None) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(5003, lengths, 32, seed, epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(0, 1) != order(1, 0)


def test_texts_of_like_length_meet_and_batches_still_come_in_no_order_of_length() -> None:
    batches = epoch_batches(5003, LENGTHS, 32, seed=0, epoch=0)
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert padded < 1.1 * LENGTHS.sum()
    longest = [LENGTHS[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


@given(st.integers(0, 70), st.integers(1, 9))
def test_workers_divide_a_batch_without_gap_or_overlap(count: int, workers: int) -> None:
    rows = np.arange(count)
    shares = [rows[share(count, rank, workers)] for rank in range(workers)]
    assert np.concatenate(shares).tolist() == rows.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_a_token_budget_holds_unless_one_text_alone_breaks_it(lengths: list[int], budget: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = by_tokens(array, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * array[batch].max() <= budget for batch in batches)


def test_a_pass_without_training_goes_shortest_first_or_in_order() -> None:
    assert [batch.tolist() for batch in by_length(np.array([3, 1, 2]), 3, 2)] == [[1, 2], [0]]
    assert [batch.tolist() for batch in by_length(None, 3, 2)] == [[0, 1], [2]]
