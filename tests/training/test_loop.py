import pickle
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from w2s_ray.labels import Labels
from w2s_ray.models.head import LinearHead
from w2s_ray.spec.training import LOSSES, Loss, Training
from w2s_ray.training.batches import epoch_batches
from w2s_ray.training.errors import DeviceOutOfMemory, TrainingDiverged
from w2s_ray.training.evaluate import predict
from w2s_ray.training.inputs import FeatureInputs
from w2s_ray.training.loop import Problem, Worker, finetune, seed_everything
from w2s_ray.training.losses.confidence import confidence_loss
from w2s_ray.training.schedule import alpha_at, lr_at

TRAINING = Training(batch_size=8, epochs=3, eval_every=4, lr=0.01, clip=0.5, schedule="cosine", lr_warmup=0.1)
NAIVE, CONFIDENT = Loss(), Loss(alpha=0.75)
OTHERS = [
    *(Loss.model_validate({"name": name, **LOSSES[name]}) for name in LOSSES if name != "window"),
    Loss(name="window", radius=0.05),
    Loss(alpha=0.75, threshold_buffer=20),
]


def trained(
    problem: Problem, training: Training = TRAINING, loss: Loss = NAIVE, seed: int = 0, **more: object
) -> torch.Tensor:
    seed_everything(0)
    head = LinearHead(6, 2)
    finetune(head, problem, training, loss, seed, **more)  # type: ignore[arg-type]
    return torch.cat([parameter.detach().flatten() for parameter in head.parameters()])


def by_the_book(problem: Problem, training: Training, loss: Loss, seed: int) -> torch.Tensor:
    """The twin: the whole loop in the plainest torch, for one worker."""
    seed_everything(0)
    head = LinearHead(6, 2)
    groups = [{"params": [head.linear.weight]}, {"params": [head.linear.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, weight_decay=training.weight_decay, foreach=False, fused=False)
    labels, step = torch.from_numpy(problem.labels.probabilities), 0
    steps = training.epochs * -(-len(labels) // training.batch_size)
    half = torch.tensor([0.5, 0.5]) if abs(labels[:, 1].mean() - 0.5) < 0.05 else None
    for epoch in range(training.epochs):
        for rows in epoch_batches(len(labels), None, training.batch_size, seed, epoch):
            optimizer.zero_grad()
            logits = head(problem.train.batch(rows, "cpu"))
            confidence_loss(logits, labels[rows], alpha_at(step, steps, loss), half).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), training.clip)
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step, steps, training)
            optimizer.step()
            step += 1
    return torch.cat([parameter.detach().flatten() for parameter in head.parameters()])


@pytest.mark.parametrize("loss", [NAIVE, CONFIDENT])
@pytest.mark.parametrize("data", ["problem", "unbalanced"])
def test_the_loop_equals_the_plain_one(request: pytest.FixtureRequest, loss: Loss, data: str) -> None:
    problem = request.getfixturevalue(data)
    torch.testing.assert_close(
        trained(problem, TRAINING, loss), by_the_book(problem, TRAINING, loss, 0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("loss", [NAIVE, CONFIDENT])
@pytest.mark.parametrize("micro", [1, 3, 8, 100])
def test_micro_batches_equal_one_batch(problem: Problem, loss: Loss, micro: int) -> None:
    whole, parts = trained(problem, loss=loss), trained(problem, loss=loss, micro_batch=micro)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", OTHERS, ids=lambda loss: f"{loss.name}-{loss.threshold_buffer}")
def test_every_loss_is_that_of_the_global_batch(problem: Problem, loss: Loss) -> None:
    whole, parts = trained(problem, loss=loss), trained(problem, loss=loss, micro_batch=3)
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)
    learns_otherwise = loss.name not in ("cross-entropy", "kl")
    assert torch.allclose(whole, trained(problem), atol=1e-4) != learns_otherwise


def test_a_micro_batch_is_the_most_a_network_sees_at_once(problem: Problem) -> None:
    seen = []

    class Spy(LinearHead):
        def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            if torch.is_grad_enabled() or not torch.is_inference_mode_enabled():
                seen.append(len(batch["features"]))
            return super().forward(batch)

    finetune(Spy(6, 2), problem, TRAINING, CONFIDENT, 0, micro_batch=3)
    assert max(seen) == 3


def test_without_confidence_no_pass_is_made_twice(problem: Problem) -> None:
    seen = []

    class Spy(LinearHead):
        def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            seen.append(torch.is_grad_enabled())
            return super().forward(batch)

    finetune(Spy(6, 2), problem, TRAINING.model_copy(update={"epochs": 1, "eval_every": 1000}), NAIVE, 0, micro_batch=4)
    assert seen.count(True) == 18  # 8 full batches of two parts, one of 6 in two parts
    assert seen.count(False) == 1  # the validation


def test_the_same_seed_gives_the_same_bits_and_another_does_not(problem: Problem) -> None:
    assert torch.equal(trained(problem), trained(problem))
    assert not torch.equal(trained(problem, seed=0), trained(problem, seed=1))


def test_confidence_changes_what_is_learned(problem: Problem) -> None:
    assert not torch.allclose(trained(problem, loss=NAIVE), trained(problem, loss=CONFIDENT), atol=1e-3)


@pytest.mark.parametrize(("every", "steps"), [(4, [4, 8, 12, 16, 20, 24, 27]), (9, [9, 18, 27]), (100, [27])])
def test_the_curve_has_a_row_at_every_evaluation_and_one_at_the_end(
    problem: Problem, every: int, steps: list[int]
) -> None:
    rows: list[dict[str, float | int]] = []
    training = TRAINING.model_copy(update={"eval_every": every})
    curve = finetune(LinearHead(6, 2), problem, training, NAIVE, 0, report=rows.append)
    assert [row["step"] for row in curve] == steps
    assert rows == curve
    assert curve[-1]["epoch"] == 3
    assert set(curve[0]) == {
        "step",
        "epoch",
        "lr",
        "alpha",
        "train_loss",
        "validation_accuracy",
        "validation_agreement",
    }


def test_training_learns(problem: Problem) -> None:
    curve = finetune(LinearHead(6, 2), problem, Training(batch_size=8, epochs=20, lr=0.05), NAIVE, 0)
    assert curve[-1]["validation_accuracy"] > 0.8
    assert curve[-1]["train_loss"] < 0.6


def test_validation_counts_what_each_judge_agrees_with(problem: Problem) -> None:
    head = LinearHead(6, 2)
    curve = finetune(head, problem, TRAINING, NAIVE, 0)
    with torch.no_grad():
        classes = head(problem.validation.batch(np.arange(40), "cpu")).argmax(dim=1).numpy()
    assert curve[-1]["validation_accuracy"] == (classes == problem.judges["truth"].classes).mean()
    assert curve[-1]["validation_agreement"] == (classes == problem.judges["supervisor"].classes).mean()


def test_a_diverged_training_says_at_which_step_and_rate(problem: Problem) -> None:
    features = np.full((70, 6), np.inf, dtype=np.float32)
    broken = Problem(FeatureInputs(features), problem.labels, problem.validation, problem.judges)
    with pytest.raises(TrainingDiverged, match=r"step 1 with learning rate 0\.0025"):
        finetune(LinearHead(6, 2), broken, TRAINING, NAIVE, 0)


def test_a_full_device_says_what_to_lower(problem: Problem) -> None:
    class Full(LinearHead):
        def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceOutOfMemory, match="set micro_batch below 8"):
        finetune(Full(6, 2), problem, TRAINING, NAIVE, 0)
    with pytest.raises(DeviceOutOfMemory, match="set micro_batch below 256"):
        predict(Full(6, 2), problem.validation, 256)
    with pytest.raises(DeviceOutOfMemory, match="give the stage more of a GPU"):
        finetune(Full(6, 2), problem, TRAINING, NAIVE, 0, micro_batch=1)


@pytest.mark.parametrize("error", [TrainingDiverged(7, 0.1), DeviceOutOfMemory("cuda:0", 32)])
def test_errors_cross_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_mixed_precision_keeps_float32_weights_and_is_near(problem: Problem) -> None:
    mixed = trained(problem, TRAINING.model_copy(update={"precision": "bfloat16"}))
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, trained(problem))
    torch.testing.assert_close(mixed, trained(problem), rtol=0.1, atol=0.02)


def test_frozen_parameters_stay(problem: Problem) -> None:
    head = LinearHead(6, 2)
    head.linear.bias.requires_grad = False
    finetune(head, problem, TRAINING, NAIVE, 0)
    assert head.linear.bias.tolist() == [0, 0]


def test_labels_that_do_not_fit_are_refused(problem: Problem) -> None:
    fewer = Labels(problem.labels.ids[:9], problem.labels.probabilities[:9], "weak")
    with pytest.raises(ValueError, match="70 training inputs do not fit 9 labels"):
        Problem(problem.train, fewer, problem.validation, {})
    with pytest.raises(ValueError, match="40 validation inputs do not fit 9 of truth"):
        Problem(problem.train, problem.labels, problem.validation, {"truth": fewer})


def test_several_workers_without_torch_distributed_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torch\.distributed"):
        Worker(rank=0, size=2)
    with pytest.raises(ValueError, match="within"):
        Worker(rank=1, size=1)
