import pytest
import torch

from w2s_ray.models.neighbours import Neighbours

POINTS = torch.tensor([[0.0, 1.1], [1.3, 0.0], [2.0, 3.2], [3.1, 1.7], [9.0, 8.1]])
LABELS = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.0, 1.0]])


def predicted(network: Neighbours, features: torch.Tensor, places: list[int] | None = None) -> torch.Tensor:
    more = {} if places is None else {"places": torch.tensor(places)}
    return torch.softmax(network({"features": features, **more}), dim=1)


def by_the_book(features: torch.Tensor, count: int, metric: str, skip: list[int]) -> torch.Tensor:
    """The twin: every distance in a loop."""
    mean, deviation = POINTS.mean(dim=0), POINTS.std(dim=0, correction=0)
    points, queries = (POINTS - mean) / deviation, (features - mean) / deviation
    rows = []
    for query, own in zip(queries, skip, strict=True):
        far = {
            place: float((query - point).norm())
            if metric == "euclidean"
            else 1 - float(query @ point / query.norm() / point.norm())
            for place, point in enumerate(points)
            if place != own
        }
        rows.append(LABELS[sorted(far, key=far.__getitem__)[:count]].mean(dim=0))
    return torch.stack(rows)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_prediction_is_the_mean_label_of_the_nearest(metric: str, count: int) -> None:
    network = Neighbours(count, metric)
    network.fit(POINTS, LABELS)
    queries = torch.tensor([[0.1, 0.7], [2.2, 2.9], [8.0, 7.0]])
    torch.testing.assert_close(predicted(network, queries), by_the_book(queries, count, metric, [-1, -1, -1]))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_training_point_is_not_its_own_neighbour(metric: str) -> None:
    network = Neighbours(1, metric)
    network.fit(POINTS, LABELS)
    own = predicted(network, POINTS, [0, 1, 2, 3, 4])
    torch.testing.assert_close(own, by_the_book(POINTS, 1, metric, [0, 1, 2, 3, 4]))
    torch.testing.assert_close(predicted(network, POINTS), LABELS, atol=1e-6, rtol=0)
    assert not torch.allclose(own, LABELS, atol=0.05)


def test_twins_count_for_each_other() -> None:
    network = Neighbours(1, "euclidean")
    network.fit(torch.tensor([[1.0, 0], [1.0, 0], [5.0, 5.0]]), LABELS[:3])
    assert predicted(network, torch.tensor([[1.0, 0]]), [0])[0].tolist() == pytest.approx(LABELS[1].tolist())


def test_too_few_points_are_refused_with_their_number() -> None:
    with pytest.raises(ValueError, match="neighbours must be below the 5 training examples, got 5"):
        Neighbours(5, "cosine").fit(POINTS, LABELS)
    with pytest.raises(ValueError, match="metric must be cosine or euclidean"):
        Neighbours(5, "manhattan")
