import numpy as np
import pytest

from w2s_ray.report import bench
from w2s_ray.report.calibration import binned, calibration, expected_error


def model_of(sure: np.ndarray, right: np.ndarray) -> bench.Tested:
    """A model that is `sure` of class 0, which is the truth where `right`; shapes (seeds, n) and (n,)."""
    probabilities = np.stack([sure, 1 - sure], axis=2).astype(np.float32)
    return bench.Tested(np.arange(sure.shape[1]).astype(str), np.where(right, 0, 1), probabilities)


def test_a_model_that_is_80_percent_sure_and_right_in_80_percent_has_no_error() -> None:
    right = np.arange(1500) % 5 > 0
    assert expected_error(np.full(1500, 0.8), right) == pytest.approx(0)


def test_the_error_of_one_confidence_is_its_distance_from_the_accuracy() -> None:
    right = np.arange(1500) % 2 == 0
    found = calibration(model_of(np.full((2, 1500), 0.9), right))
    assert found.ece == pytest.approx(0.4, abs=1e-3)
    assert found.overconfidence == pytest.approx(0.4, abs=1e-3)


def test_over_and_underconfidence_in_different_bins_do_not_cancel() -> None:
    sure = np.concatenate([np.full(500, 0.6), np.full(500, 0.9)])
    right = np.concatenate([np.arange(500) % 10 < 9, np.arange(500) % 10 < 6])
    assert expected_error(sure, right, bins=2) == pytest.approx(0.3)
    assert expected_error(sure, right, bins=1) == pytest.approx(0.0)


def test_bins_hold_the_same_number_of_examples_however_confidences_lie() -> None:
    sure = np.concatenate([np.full(90, 0.99), np.full(10, 0.5)])
    _, _, mass = binned(sure, sure > 0.6, 10)
    assert mass.tolist() == [0.1] * 10


def test_a_perfect_model_scores_what_is_said_it_would() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, size=(200, 1000))
    right = rng.random(sure.shape) < sure
    errors = [expected_error(*pair) for pair in zip(sure, right, strict=True)]
    assert np.mean(errors) == pytest.approx(calibration(model_of(sure, right[0])).ece_if_perfect, rel=0.05)
