import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.training.losses.confidence import (
    _harden_by_places,
    batch_prior,
    confidence_loss,
    cross_entropy,
    harden,
    is_balanced,
    mix,
)

HALF = torch.tensor([0.5, 0.5])


def logits_of(*positive: float) -> torch.Tensor:
    """Logits whose softmax has these probabilities of class 1."""
    return torch.tensor([[math.log(1 - p), math.log(p)] for p in positive])


def test_the_confidence_loss_is_the_number_worked_out_by_hand() -> None:
    # Student f = 0.9, 0.6 positive; weak labels 0.3, 0.8; alpha = 0.75; half of the two: 0.9 is, 0.6 is not.
    # Targets (1 - a) w + a h: 0.25 * 0.3 + 0.75 * 1 = 0.825 and 0.25 * 0.8 + 0.75 * 0 = 0.2.
    # CE 1: -(0.825 ln 0.9 + 0.175 ln 0.1) = 0.825 * 0.105361 + 0.175 * 2.302585 = 0.489875
    # CE 2: -(0.200 ln 0.6 + 0.800 ln 0.4) = 0.200 * 0.510826 + 0.800 * 0.916291 = 0.835198
    # Mean: 0.662536
    weak = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    loss = confidence_loss(logits_of(0.9, 0.6), weak, alpha=0.75, prior=HALF)
    assert loss.item() == pytest.approx(0.662536, abs=2e-6)


def test_the_confidence_loss_is_the_weighted_sum_of_two_cross_entropies() -> None:
    torch.manual_seed(0)
    logits, weak = torch.randn(7, 2), torch.softmax(torch.randn(7, 2), dim=1)
    hardened = harden(torch.softmax(logits, dim=1), HALF)
    expected = 0.4 * cross_entropy(logits, weak) / 7 + 0.6 * cross_entropy(logits, hardened) / 7
    torch.testing.assert_close(confidence_loss(logits, weak, 0.6, HALF), expected)


def test_alpha_zero_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, weak = torch.randn(9, 3), torch.softmax(torch.randn(9, 3), dim=1)
    torch.testing.assert_close(confidence_loss(logits, weak, 0.0), torch.nn.functional.cross_entropy(logits, weak))


def test_no_gradient_flows_through_the_hardened_target() -> None:
    # With targets y held fixed, d(mean CE)/d(logits) = (softmax - y) / n.
    torch.manual_seed(0)
    logits = torch.randn(6, 2, requires_grad=True)
    weak = torch.softmax(torch.randn(6, 2), dim=1)
    confidence_loss(logits, weak, 0.5, HALF).backward()
    probabilities = torch.softmax(logits.detach(), dim=1)
    target = mix(weak, harden(probabilities, HALF), 0.5)
    torch.testing.assert_close(logits.grad, (probabilities - target) / 6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.floats(0, 1))
def test_exactly_the_prior_of_a_batch_is_positive_and_none_of_it_less_probable(p: list[float], prior: float) -> None:
    positive = torch.tensor(p)
    shares = torch.tensor([1 - prior, prior])
    chosen = harden(torch.stack([1 - positive, positive], dim=1), shares)
    assert chosen.sum(dim=1).tolist() == [1.0] * len(p)
    assert int(chosen[:, 1].sum()) == min(len(p), math.floor(len(p) * float(shares[1]) + 0.5))
    inside, outside = positive[chosen[:, 1] == 1], positive[chosen[:, 1] == 0]
    if len(inside) and len(outside):
        assert inside.min() >= outside.max()


@pytest.mark.parametrize(("count", "positives"), [(1, 1), (2, 1), (5, 3), (8, 4), (32, 16)])
def test_half_of_a_batch_of_ties_is_positive_and_it_is_the_first_half(count: int, positives: int) -> None:
    chosen = harden(torch.full((count, 2), 0.5), HALF)
    assert chosen[:, 1].tolist() == [1.0] * positives + [0.0] * (count - positives)


def test_in_unbalanced_data_the_threshold_meets_the_prior_of_the_weak_labels() -> None:
    # All students' predictions are above one half, weak labels say 1 of 5: only the most probable one is positive.
    weak = torch.tensor([0.9, 0.05, 0.02, 0.01, 0.02])
    weak = torch.stack([1 - weak, weak], dim=1)
    assert not is_balanced(weak)
    student = torch.tensor([0.6, 0.7, 0.95, 0.8, 0.9])
    chosen = harden(torch.stack([1 - student, student], dim=1), batch_prior(weak, balanced=False))
    assert chosen[:, 1].tolist() == [0, 0, 1, 0, 0]


def test_a_balanced_task_hardens_half_of_a_batch_that_happens_not_to_be() -> None:
    weak = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
    assert batch_prior(weak, balanced=True).tolist() == [0.5, 0.5]
    assert batch_prior(weak, balanced=False).tolist() == pytest.approx([0.375, 0.625])


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=20, unique=True), st.sampled_from([0.2, 0.5, 0.75]))
def test_the_rule_for_many_classes_is_the_threshold_where_there_are_two(p: list[float], prior: float) -> None:
    positive = torch.tensor(p)
    both = torch.stack([1 - positive, positive], dim=1).double()
    shares = torch.tensor([1 - prior, prior])
    count = len(p) * prior
    if abs(count % 1 - 0.5) < 1e-6:
        return  # a half place rounds to either class
    assert torch.equal(_harden_by_places(both, shares), harden(both, shares))


def test_many_classes_get_their_share_of_places() -> None:
    torch.manual_seed(0)
    chosen = harden(torch.softmax(torch.randn(10, 3), dim=1), torch.tensor([0.5, 0.3, 0.2]))
    assert chosen.sum(dim=0).tolist() == [5, 3, 2]
    assert chosen.sum(dim=1).tolist() == [1.0] * 10
