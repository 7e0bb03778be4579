import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from w2s_ray.models.head import LinearHead
from w2s_ray.models.neighbours import Neighbours
from w2s_ray.training.checkpoints import Row
from w2s_ray.training.inputs import FeatureInputs
from w2s_ray.training.loop import Problem, Worker
from w2s_ray.training.probes import fit_logistic, fit_probe


def standardized(features: torch.Tensor) -> torch.Tensor:
    return (features - features.mean(dim=0)) / features.std(dim=0, correction=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l2", [1e-3, 0.1])
def test_on_hard_labels_the_logistic_probe_is_scikit_learns(classes: int, l2: float) -> None:
    draw = np.random.default_rng(0)
    features = torch.from_numpy(draw.normal(size=(60, 4)).astype(np.float32))
    truth = (features @ torch.randn(4, classes, generator=torch.Generator().manual_seed(0))).argmax(dim=1)
    head = LinearHead(4, classes)
    head.standardize(features)
    fit_logistic(head, features, torch.eye(classes)[truth], l2)
    # For two classes the twin has one vector for both: ours are opposite halves of it, so its penalty is half of ours.
    twin = LogisticRegression(C=1 / (l2 * 60) * (2 if classes == 2 else 1), tol=1e-10, max_iter=10_000)
    expected = twin.fit(standardized(features).double().numpy(), truth.numpy()).predict_proba(standardized(features))
    found = torch.softmax(head({"features": features}), dim=1).detach()
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_at_the_minimum_the_gradient_on_soft_labels_vanishes(problem: Problem) -> None:
    features = problem.train.batch(np.arange(70), "cpu")["features"]
    weak = torch.from_numpy(problem.labels.probabilities)
    head = LinearHead(6, 2)
    head.standardize(features)
    fit_logistic(head, features, weak, 0.01)
    error = (torch.softmax(head({"features": features}), dim=1) - weak).detach()
    pull = error.T @ standardized(features) / 70 + 0.01 * head.linear.weight.detach()
    assert pull.abs().max() < 1e-6
    assert error.mean(dim=0).abs().max() < 1e-6


def test_where_a_probe_starts_does_not_matter(problem: Problem) -> None:
    features = problem.train.batch(np.arange(70), "cpu")["features"]
    weak = torch.from_numpy(problem.labels.probabilities)
    heads = [LinearHead(6, 2), LinearHead(6, 2)]
    for head in heads:
        fit_logistic(head, features, weak, 0.01)
    assert torch.equal(heads[0].linear.weight, heads[1].linear.weight)


@pytest.mark.parametrize("kind", ["logistic", "knn"])
def test_a_probe_reports_one_row_like_that_of_a_training(problem: Problem, kind: str) -> None:
    network = LinearHead(6, 2) if kind == "logistic" else Neighbours(5, "euclidean")
    rows: list[Row] = []
    curve = fit_probe(network, problem, 1e-3, 0.0, Worker(), rows.append)
    assert curve == rows
    (row,) = curve
    assert set(row) == {"step", "epoch", "lr", "alpha", "train_loss", "validation_accuracy", "validation_agreement"}
    with torch.no_grad():
        classes = network(problem.validation.batch(np.arange(40), "cpu")).argmax(dim=1).numpy()
    assert row["validation_accuracy"] == (classes == problem.judges["truth"].classes).mean()
    assert row["validation_accuracy"] > 0.7


def test_a_neighbour_probe_does_not_repeat_its_own_labels_back(problem: Problem) -> None:
    features = problem.train.batch(np.arange(70), "cpu")["features"].numpy()
    known = FeatureInputs(features, np.arange(70))
    naive, mended = Neighbours(1, "cosine"), Neighbours(1, "cosine")
    repeated = fit_probe(naive, problem, 1.0, 0.0, Worker(), lambda row: None)
    held_out = Problem(known, problem.labels, problem.validation, problem.judges)
    honest = fit_probe(mended, held_out, 1.0, 0.0, Worker(), lambda row: None)
    assert honest[0]["train_loss"] > repeated[0]["train_loss"] + 0.02
