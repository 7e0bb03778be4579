from itertools import pairwise

import pytest

from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.schedule import alpha_at, lr_at


def test_alpha_rises_linearly_and_without_a_jump() -> None:
    loss = Loss(alpha=0.75, alpha_warmup=0.2)
    seen = [alpha_at(step, 100, loss) for step in range(100)]
    assert seen[:21] == pytest.approx([0.75 * step / 20 for step in range(21)])
    assert seen[20:] == [0.75] * 80
    assert max(after - before for before, after in pairwise(seen)) == pytest.approx(0.75 / 20)


def test_without_a_warm_up_alpha_is_full_from_the_first_step() -> None:
    assert [alpha_at(step, 3, Loss(alpha=0.5, alpha_warmup=0)) for step in range(3)] == [0.5] * 3


def test_a_warm_up_shorter_than_a_step_begins_at_zero_and_is_then_full() -> None:
    assert [alpha_at(step, 3, Loss(alpha=0.5, alpha_warmup=0.1)) for step in range(3)] == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.3])
def test_the_rate_peaks_once_and_no_step_is_wasted(schedule: str, warmup: float) -> None:
    training = Training.model_validate({"lr": 0.1, "schedule": schedule, "lr_warmup": warmup})
    rates = [lr_at(step, 20, training) for step in range(20)]
    peak = round(20 * warmup)
    assert rates[peak] == max(rates) == pytest.approx(0.1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert min(rates) > 0


def test_a_linear_schedule_falls_by_equal_steps_to_one_above_zero() -> None:
    rates = [lr_at(step, 4, Training(lr=1.0, schedule="linear")) for step in range(4)]
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_a_cosine_schedule_is_at_half_in_the_middle() -> None:
    assert lr_at(5, 10, Training(lr=1.0, schedule="cosine")) == pytest.approx(0.5)
