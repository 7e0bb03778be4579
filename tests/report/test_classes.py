"""With more than two classes a student can be wrong in another way than its supervisor, and the report tells these."""

import numpy as np

from w2s_ray.report import bench
from w2s_ray.report.statistics import accuracy_interval, pgr_interval


def model_of(*predicted: list[int]) -> bench.Tested:
    truth = np.arange(60) % 3
    probabilities = np.eye(3, dtype=np.float32)[np.array(predicted)]
    return bench.Tested(np.array([f"{n:02d}" for n in range(60)]), truth, probabilities)


def test_another_mistake_than_the_supervisors_is_no_repetition() -> None:
    truth = np.arange(60) % 3
    wrong = np.arange(60) < 20
    weak = model_of(list(np.where(wrong, (truth + 1) % 3, truth)))
    copies, differs = (
        model_of(list(np.where(wrong, (truth + step) % 3, truth))) for step in (1, 2)
    )  # both are as right as the supervisor
    assert bench.agreement(copies, weak).weak_wrong == 1.0
    assert bench.agreement(differs, weak).weak_wrong == 0.0
    assert bench.agreement(differs, weak).weak_right == 1.0
    assert bench.agreement(differs, weak).overall == 40 / 60


def test_accuracy_and_pgr_are_of_right_and_wrong_whatever_the_number_of_classes() -> None:
    truth = np.arange(60) % 3
    models = [model_of(*[list(np.where(np.arange(60) < right, truth, (truth + 2) % 3))] * 2) for right in (24, 36, 54)]
    weak, student, ceiling = (model.correct for model in models)
    assert accuracy_interval(weak).estimate == 0.4
    assert np.isclose(pgr_interval(weak, student, ceiling).estimate or 0, (36 - 24) / (54 - 24))
