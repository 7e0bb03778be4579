from pathlib import Path

import numpy as np
import pytest
import torch

from w2s_ray.models.head import LinearHead
from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.checkpoints import Checkpoints, Row
from w2s_ray.training.loop import Problem, finetune, seed_everything
from w2s_ray.training.weights import Average, chosen_row

OVERFITTING = Training(batch_size=8, epochs=6, eval_every=3, lr=0.3, schedule="constant")
JUDGES = {"weak": ("supervisor", "validation_agreement"), "truth": ("truth", "validation_accuracy")}


def trained(problem: Problem, **changes: object) -> tuple[LinearHead, list[Row]]:
    seed_everything(0)
    head = LinearHead(6, 2)
    curve = finetune(head, problem, Training.model_validate({**OVERFITTING.model_dump(), **changes}), Loss(), 0)
    return head, curve


def share_right(head: LinearHead, problem: Problem, judge: str) -> float:
    with torch.no_grad():
        classes = head(problem.validation.batch(np.arange(40), "cpu")).argmax(dim=1).numpy()
    return float((classes == problem.judges[judge].classes).mean())


def test_of_a_curve_the_best_row_counts_and_of_equals_the_first() -> None:
    curve: list[Row] = [
        {"step": 1, "validation_accuracy": 0.7, "validation_agreement": 0.8},
        {"step": 2, "validation_accuracy": 0.9, "validation_agreement": 0.8},
        {"step": 3, "validation_accuracy": 0.9, "validation_agreement": 0.6},
    ]
    assert [chosen_row(curve, select)["step"] for select in ("last", "weak", "truth")] == [3, 1, 2]


def test_where_nobody_supervises_the_labels_learned_from_are_ground_truth() -> None:
    curve: list[Row] = [{"step": 1, "validation_accuracy": 0.9}, {"step": 2, "validation_accuracy": 0.8}]
    assert chosen_row(curve, "weak")["step"] == 1
    with pytest.raises(ValueError, match="select: truth needs validation_accuracy"):
        chosen_row([{"step": 1}], "truth")


@pytest.mark.parametrize("select", JUDGES)
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_training_ends_with_the_weights_of_its_best_validation(problem: Problem, select: str, ema: float) -> None:
    judge, column = JUDGES[select]
    head, curve = trained(problem, select=select, ema=ema)
    best = max(row[column] for row in curve)
    assert share_right(head, problem, judge) == pytest.approx(best)
    assert best > curve[-1][column], "a training whose last weights are its best shows nothing"


def test_choosing_weights_changes_nothing_that_is_learned(problem: Problem) -> None:
    assert trained(problem)[1] == trained(problem, select="weak")[1]


def test_the_average_is_the_weighted_mean_of_the_weights_after_each_step() -> None:
    weight = torch.nn.Parameter(torch.tensor([100.0]))
    average = Average([weight], 0.5)
    for step, value in enumerate([1.0, 2.0, 4.0], start=1):
        weight.data.fill_(value)
        average.update(step)
    with average.in_place():
        # (0.25 * 1 + 0.5 * 2 + 1 * 4) / 1.75; where the training began, at 100, is no part of it
        assert weight.item() == pytest.approx(3.0)
    assert weight.item() == 4.0
    average.settle()
    assert weight.item() == pytest.approx(3.0)


def test_an_average_predicts_but_does_not_train(problem: Problem) -> None:
    (plain, curve), (averaged, other) = trained(problem), trained(problem, ema=0.9)
    assert [row["train_loss"] for row in curve] == [row["train_loss"] for row in other]
    assert not torch.allclose(plain.linear.weight, averaged.linear.weight, atol=1e-2)
    assert share_right(averaged, problem, "truth") == pytest.approx(other[-1]["validation_accuracy"])


@pytest.mark.parametrize("stop_at", [12, 33, 51])
def test_chosen_and_averaged_weights_resume_bit_for_bit(tmp_path: Path, problem: Problem, stop_at: int) -> None:
    def interrupt(row: Row) -> None:
        if row["step"] == stop_at:
            raise KeyboardInterrupt

    training = OVERFITTING.model_copy(update={"select": "weak", "ema": 0.5})
    whole, resumed = LinearHead(6, 2), LinearHead(6, 2)
    resumed.load_state_dict(whole.state_dict())
    first = LinearHead(6, 2)
    first.load_state_dict(whole.state_dict())
    curve = finetune(whole, problem, training, Loss(), 3)
    saving = Checkpoints(tmp_path, 0.0)
    with pytest.raises(KeyboardInterrupt):
        finetune(first, problem, training, Loss(), 3, checkpoints=saving, report=interrupt)
    assert finetune(resumed, problem, training, Loss(), 3, checkpoints=Checkpoints(tmp_path, 1e9)) == curve
    assert torch.equal(whole.linear.weight, resumed.linear.weight)
    assert torch.equal(whole.linear.bias, resumed.linear.bias)
