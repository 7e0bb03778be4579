import pytest

from w2s_ray.report.stopping import learning_curve


def rows(accuracy: list[float], agreement: list[float] | None = None) -> list[dict[str, float]]:
    made = [{"step": 10 * (place + 1), "validation_accuracy": value} for place, value in enumerate(accuracy)]
    if agreement is not None:
        made = [{**row, "validation_agreement": value} for row, value in zip(made, agreement, strict=True)]
    return made


def test_the_three_ends_of_a_training_that_overfits_to_weak_errors() -> None:
    curve = learning_curve([rows([0.6, 0.8, 0.75, 0.7], [0.6, 0.8, 0.9, 0.85])])
    assert (curve.last.step, curve.last.accuracy) == (40, 0.7)
    assert curve.weak_stopped is not None
    assert (curve.weak_stopped.step, curve.weak_stopped.accuracy, curve.weak_stopped.agreement) == (30, 0.75, 0.9)
    assert (curve.truth_stopped.step, curve.truth_stopped.accuracy) == (20, 0.8)


def test_every_seed_stops_at_its_own_step_and_the_mean_is_told() -> None:
    curve = learning_curve([rows([0.9, 0.5]), rows([0.4, 0.7])])
    assert (curve.truth_stopped.step, curve.truth_stopped.accuracy) == (15, pytest.approx(0.8))
    assert curve.accuracy.tolist() == pytest.approx([0.65, 0.6])


def test_of_equal_steps_the_earliest_stops() -> None:
    assert learning_curve([rows([0.5, 0.7, 0.7])]).truth_stopped.step == 20


def test_a_model_of_ground_truth_has_no_weak_stop() -> None:
    curve = learning_curve([rows([0.5, 0.7])])
    assert curve.weak_stopped is None
    assert curve.agreement is None


def test_seeds_that_ended_at_different_steps_are_averaged_where_both_were_validated() -> None:
    curve = learning_curve([rows([0.5, 0.7, 0.6]), rows([0.6, 0.8])])
    assert curve.steps.tolist() == [10, 20]
    assert curve.accuracy.tolist() == pytest.approx([0.55, 0.75])
    assert (curve.last.step, curve.last.accuracy) == (25, pytest.approx(0.7))


def test_curves_without_a_common_step_have_no_mean() -> None:
    other = [{"step": 7, "validation_accuracy": 0.5}]
    with pytest.raises(ValueError, match=r"validated at no common step: \[\[10\], \[7\]\]"):
        learning_curve([rows([0.5]), other])
