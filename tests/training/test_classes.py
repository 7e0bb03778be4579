"""More than two classes go through the same loop: the losses, the confidence target and the judges."""

import numpy as np
import pytest
import torch

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.models.head import LinearHead
from w2s_ray.spec import Loss, Training
from w2s_ray.spec.training import LOSSES
from w2s_ray.training.evaluate import predict
from w2s_ray.training.inputs import FeatureInputs
from w2s_ray.training.loop import Problem, finetune, seed_everything
from w2s_ray.training.losses.confidence import batch_prior, harden, is_balanced
from w2s_ray.training.losses.objective import Objective

COUNT, HELD, CLASSES = 240, 120, 3


@pytest.fixture
def three() -> Problem:
    """Three clusters; the supervisor gives the true class 0.6 on two thirds of the examples, else the next class."""
    draw = np.random.default_rng(0)
    truth = np.arange(COUNT + HELD) % CLASSES
    features = (3 * np.eye(CLASSES, 5)[truth] + draw.normal(size=(COUNT + HELD, 5))).astype(np.float32)
    said = np.where(draw.random(COUNT + HELD) < 2 / 3, truth, (truth + 1) % CLASSES)
    soft = np.where(np.arange(CLASSES) == said[:, None], 0.6, 0.2).astype(np.float32)
    ids = np.array([f"example-{place}" for place in range(COUNT + HELD)])
    weak = Labels(ids, soft, "weak")
    held = ids[COUNT:]
    judges = {"truth": ground_truth(held, truth[COUNT:], CLASSES), "supervisor": weak.of(held)}
    return Problem(FeatureInputs(features[:COUNT]), weak.of(ids[:COUNT]), FeatureInputs(features[COUNT:]), judges)


@pytest.mark.parametrize("loss", [Loss(), Loss(alpha=0.75, alpha_warmup=0.2)], ids=["naive", "confidence"])
def test_a_student_of_three_classes_learns_more_than_it_is_told(three: Problem, loss: Loss) -> None:
    seed_everything(0)
    head = LinearHead(5, CLASSES)
    curve = finetune(head, three, Training(lr=3e-2, epochs=20, batch_size=24), loss, 0)
    supervisor = (three.judges["supervisor"].probabilities.argmax(axis=1) == np.arange(HELD) % CLASSES).mean()
    assert curve[-1]["validation_accuracy"] > supervisor + 0.05
    probabilities = predict(head, three.validation, 50)
    assert probabilities.shape == (HELD, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_learns_three_classes_and_is_finite(three: Problem, name: str) -> None:
    seed_everything(0)
    head = LinearHead(5, CLASSES)
    loss = Loss.model_validate({"name": name, **LOSSES[name]}).normal()  # type: ignore[index]
    curve = finetune(head, three, Training(lr=3e-2, epochs=20, batch_size=24), loss, 0)
    probabilities = predict(head, three.validation, 50)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert set(probabilities.argmax(axis=1)) == set(range(CLASSES))
    assert curve[-1]["validation_accuracy"] > 0.6, "chance is a third"


def test_three_unbalanced_classes_keep_the_prior_over_a_buffer_too() -> None:
    torch.manual_seed(0)
    weak = torch.softmax(torch.randn(120, 3) + torch.tensor([0.0, 1.0, 2.0]), dim=1)
    objective = Objective(Loss(alpha=1.0, alpha_warmup=0.0, threshold_buffer=120), weak)
    hardened = torch.cat([objective.targets(rows, 1.0, torch.randn(24, 3)) for rows in torch.arange(120).split(24)])
    np.testing.assert_allclose(hardened.sum(dim=0), 120 * weak.mean(dim=0), atol=12)


def test_hardened_predictions_of_three_classes_meet_the_prior_of_the_weak_labels() -> None:
    torch.manual_seed(0)
    weak = torch.softmax(torch.randn(60, 3) + torch.tensor([0.0, 1.0, 2.0]), dim=1)
    assert not is_balanced(weak)
    hardened = harden(torch.softmax(torch.randn(60, 3), dim=1), batch_prior(weak, balanced=False))
    np.testing.assert_allclose(hardened.sum(dim=0), 60 * weak.mean(dim=0), atol=1)
    assert hardened.sum(dim=1).tolist() == [1.0] * 60
