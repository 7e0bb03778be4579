import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch

from w2s_ray.spec.training import LOSSES, Loss, LossName
from w2s_ray.training.losses.confidence import cross_entropy, harden_by_quantile
from w2s_ray.training.losses.forms import (
    FLOOR,
    entropy_loss,
    form_of,
    generalised_cross_entropy,
    kl,
    midweak,
    product_target,
    reverse_cross_entropy,
    reverse_kl,
    window_loss,
)
from w2s_ray.training.losses.objective import Objective, smooth

NAMES = get_args(LossName)


def binary(*positive: float) -> torch.Tensor:
    return torch.tensor([[1 - p, p] for p in positive], dtype=torch.float64)


def drawn(classes: int, count: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and weak labels, float64."""
    generator = torch.Generator().manual_seed(seed)
    logits, weak = torch.randn(2, count, classes, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.softmax(weak, dim=1)


def gradient(loss: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss(logits), logits)
    return found


def test_every_loss_of_the_spec_has_a_form_and_its_own_parameters() -> None:
    assert set(LOSSES) == set(NAMES)
    for name, parameters in LOSSES.items():
        assert Loss.model_validate({"name": name, **parameters}).name == name
        form_of(Loss(name=name), binary(0.3))


# One example, f = (0.4, 0.6), w = (0.3, 0.7); ln 0.4 = -0.916291, ln 0.6 = -0.510826, ln 0.3 = -1.203973,
# ln 0.7 = -0.356675.
BY_HAND: dict[LossName, float] = {
    # 0.3 * 0.916291 + 0.7 * 0.510826
    "cross-entropy": 0.632465,
    # the above less H(w) = 0.3 * 1.203973 + 0.7 * 0.356675 = 0.610864
    "kl": 0.021601,
    # 0.4 * 1.203973 + 0.6 * 0.356675
    "reverse-cross-entropy": 0.695594,
    # the above less H(f) = 0.4 * 0.916291 + 0.6 * 0.510826 = 0.673012
    "reverse-kl": 0.022582,
    # half of 0.632465 and half of H(f)
    "entropy": 0.652739,
    # w f / sum = (0.12, 0.42) / 0.54 = (0.222222, 0.777778) at alpha 1; alpha 0.5 takes the root of f:
    # (0.3 * 0.632456, 0.7 * 0.774597) = (0.189737, 0.542218) / 0.731955 = (0.259219, 0.740781);
    # 0.259219 * 0.916291 + 0.740781 * 0.510826
    "product": 0.615930,
    # (0.3 (1 - 0.4^0.5) + 0.7 (1 - 0.6^0.5)) / 0.5 = 2 (0.3 * 0.367544 + 0.7 * 0.225403)
    "generalised-cross-entropy": 0.536091,
    # |0.6 - 0.5| = 0.1 is below 0.15: as cross entropy
    "window": 0.632465,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_loss_is_the_number_worked_out_by_hand(name: LossName) -> None:
    form = form_of(Loss(name=name, q=0.5, radius=0.15), binary(0.7))
    assert form(binary(0.6).log(), binary(0.7), 0.5).item() == pytest.approx(BY_HAND[name], abs=2e-6)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_finite_difference_with_what_has_no_gradient_held_fixed(
    name: LossName, classes: int
) -> None:
    logits, weak = drawn(classes)
    form = form_of(Loss(name=name, radius=0.9), weak)
    if name == "product":
        target = product_target(logits, weak, 0.4)
        torch.testing.assert_close(
            gradient(lambda z: form(z, weak, 0.4), logits), gradient(lambda z: cross_entropy(z, target), logits)
        )
    else:
        assert torch.autograd.gradcheck(lambda z: form(z, weak, 0.4), (logits,))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["product", "entropy"])
def test_at_alpha_zero_a_loss_is_cross_entropy(name: LossName, classes: int) -> None:
    logits, weak = drawn(classes)
    torch.testing.assert_close(form_of(Loss(name=name), weak)(logits, weak, 0.0), cross_entropy(logits, weak))


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_a_batch_add_up_to_it(name: LossName) -> None:
    logits, weak = drawn(3)
    form = form_of(Loss(name=name), weak)
    parts = form(logits[:2], weak[:2], 0.4) + form(logits[2:], weak[2:], 0.4)
    torch.testing.assert_close(form(logits, weak, 0.4), parts)


def test_the_products_target_is_the_normalised_product_and_has_no_gradient() -> None:
    target = product_target(binary(0.6).log().requires_grad_(), binary(0.7), 1.0)
    torch.testing.assert_close(target, binary(0.42 / 0.54))
    assert not target.requires_grad


def test_a_product_of_opposites_keeps_the_label() -> None:
    sure = torch.tensor([[1000.0, -1000.0]])
    assert product_target(sure, torch.tensor([[0.0, 1.0]]), 1.0).tolist() == [[0.0, 1.0]]


def test_entropy_pushes_away_from_even_which_it_would_not_if_its_prediction_were_held_fixed() -> None:
    logits = binary(0.6).log().requires_grad_()
    own = torch.softmax(logits.detach(), dim=1)
    assert gradient(lambda z: cross_entropy(z, own), logits).abs().max() < 1e-12
    pull = gradient(lambda z: entropy_loss(z, binary(0.5), 1.0), logits)
    # dH/dz_1 = -f_0 f_1 (ln f_1 - ln f_0) for two classes
    assert pull[0, 1].item() == pytest.approx(-0.24 * math.log(1.5))


def test_only_examples_inside_the_window_have_a_gradient_and_the_rest_weigh_nothing() -> None:
    logits, weak = binary(0.6, 0.9, 0.36, 0.34).log().requires_grad_(), binary(0.7, 0.2, 0.5, 0.5)
    pull = gradient(lambda z: window_loss(z, weak, 0.15), logits)
    assert pull.abs().sum(dim=1).gt(0).tolist() == [True, False, True, False]
    torch.testing.assert_close(window_loss(logits, weak, 0.15), cross_entropy(logits[[0, 2]], weak[[0, 2]]))


def test_midweak_is_the_median_distance_of_the_weak_labels_from_even() -> None:
    assert midweak(binary(0.5, 0.9, 0.3)) == pytest.approx(0.2)
    assert midweak(binary(0.5, 0.9, 0.3, 0.6)) == pytest.approx(0.15)
    assert midweak(torch.tensor([[0.5, 0.25, 0.25]])) == pytest.approx(0.5 - 1 / 3)
    assert midweak(binary(0.5, 0.5)) == FLOOR


def test_kl_has_the_gradient_of_cross_entropy_and_is_zero_at_the_labels() -> None:
    logits, weak = drawn(3)
    torch.testing.assert_close(
        gradient(lambda z: kl(z, weak), logits), gradient(lambda z: cross_entropy(z, weak), logits)
    )
    assert kl(weak.log(), weak).item() == pytest.approx(0, abs=1e-12)
    hard = torch.eye(3, dtype=torch.float64)[[0, 2]]
    torch.testing.assert_close(kl(logits[:2], hard), cross_entropy(logits[:2], hard))


def test_reverse_kl_is_least_at_the_labels_and_never_below_zero() -> None:
    logits, weak = drawn(4)
    assert reverse_kl(weak.log(), weak).item() == pytest.approx(0, abs=1e-12)
    assert reverse_kl(logits, weak).item() > 0
    assert gradient(lambda z: reverse_kl(z, weak), weak.log().requires_grad_()).abs().max() < 1e-12


def test_reverse_cross_entropy_of_a_hard_label_is_finite_and_of_an_even_one_does_not_pull() -> None:
    logits = binary(0.6).log().requires_grad_()
    assert reverse_cross_entropy(logits, binary(1.0)).item() == pytest.approx(-0.4 * math.log(FLOOR))
    assert gradient(lambda z: reverse_cross_entropy(z, binary(0.5)), logits).abs().max() < 1e-12


def test_generalised_cross_entropy_runs_from_cross_entropy_to_the_mean_absolute_error() -> None:
    logits, weak = drawn(3)
    torch.testing.assert_close(
        generalised_cross_entropy(logits, weak, 1e-6), cross_entropy(logits, weak), rtol=1e-5, atol=0
    )
    linear = (weak * (1 - torch.softmax(logits, dim=1))).sum()
    torch.testing.assert_close(generalised_cross_entropy(logits, weak, 1.0), linear)


def test_smoothing_moves_a_share_of_every_label_to_all_classes() -> None:
    torch.testing.assert_close(smooth(torch.tensor([[1.0, 0, 0, 0]]), 0.2), torch.tensor([[0.85, 0.05, 0.05, 0.05]]))
    labels = torch.rand(3, 2)
    assert smooth(labels, 0.0) is labels


@pytest.mark.parametrize("mean", [0.1, 0.37, 0.5, 0.81])
def test_log_confidence_hardens_as_the_released_code_where_no_prediction_ties(mean: float) -> None:
    positive = torch.rand(9, generator=torch.Generator().manual_seed(1))
    own = torch.stack([1 - positive, positive], dim=1)
    threshold = torch.quantile(own[:, 0], mean)
    expected = (own[:, 0] < threshold).float()
    assert torch.equal(harden_by_quantile(own, torch.tensor([1 - mean, mean]))[:, 1], expected)


def test_log_confidence_divides_ties_that_the_released_code_gives_to_one_class() -> None:
    assert harden_by_quantile(torch.full((9, 2), 0.5), torch.tensor([0.5, 0.5]))[:, 1].tolist() == [1.0] * 4 + [0.0] * 5


def test_log_confidence_meets_the_mean_of_the_batch_even_where_the_task_is_balanced() -> None:
    weak = binary(0.9, 0.8, 0.9, 0.8, 0.1, 0.1, 0.2, 0.2).float()
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(4)
    for name, positives in (("confidence", 2), ("log-confidence", 3)):
        objective = Objective(Loss(name=name, alpha=1), weak)
        assert objective.targets(rows, 1.0, logits[:4])[:, 1].sum().item() == positives


def test_a_buffer_sets_the_threshold_over_the_last_predictions_and_holds_no_more() -> None:
    weak = binary(*[0.5] * 4).float()
    objective = Objective(Loss(alpha=1, threshold_buffer=4), weak)
    rows = torch.arange(2)
    first = objective.targets(rows, 1.0, binary(0.1, 0.2).log().float())
    assert first[:, 1].tolist() == [0, 1], "alone a batch is divided in halves"
    # Now 0.1, 0.2, 0.8, 0.9: both of this batch are in the upper half.
    assert objective.targets(rows, 1.0, binary(0.8, 0.9).log().float())[:, 1].tolist() == [1, 1]
    # The first batch is forgotten: 0.8, 0.9, 0.3, 0.95.
    assert objective.targets(rows, 1.0, binary(0.3, 0.95).log().float())[:, 1].tolist() == [0, 1]
    assert objective.memory()["recent"].shape == (4, 2)
    assert Objective(Loss(alpha=1), weak).memory() == {}


def test_a_buffer_meets_the_prior_of_all_weak_labels_in_unbalanced_and_in_many_classes() -> None:
    weak = torch.tensor([[0.5, 0.25, 0.25]]).repeat(8, 1)
    objective = Objective(Loss(alpha=1, threshold_buffer=8), weak)
    made = torch.cat(
        [
            objective.targets(torch.arange(8), 1.0, torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)))
            for seed in range(3)
        ]
    )
    assert made.sum(dim=0).tolist() == [12, 6, 6]
