from pathlib import Path

import pytest
import torch

from w2s_ray.models.head import LinearHead
from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.checkpoints import Checkpoints, Row
from w2s_ray.training.dropout import kept_of
from w2s_ray.training.loop import Problem, finetune, seed_everything

TRAINING = Training(batch_size=8, epochs=3, eval_every=4, lr=0.05, dropout=0.4)


def trained(problem: Problem, training: Training = TRAINING, **more: object) -> LinearHead:
    seed_everything(0)
    head = LinearHead(6, 2)
    finetune(head, problem, training, Loss(alpha=0.5), 0, **more)  # type: ignore[arg-type]
    return head


def test_the_share_is_left_out_and_the_rest_scaled_so_that_the_mean_stays() -> None:
    kept = kept_of(LinearHead(50, 2), 0.4, 200, seed=0, step=3)
    assert kept is not None
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert kept.mean().item() == pytest.approx(1, abs=0.05)
    assert kept_of(LinearHead(50, 2), 0.0, 200, seed=0, step=3) is None


def test_each_step_and_seed_leaves_out_others_and_torchs_own_state_is_not_touched() -> None:
    before = torch.get_rng_state()
    drawn = [kept_of(LinearHead(6, 2), 0.5, 8, seed, step) for seed, step in [(0, 0), (0, 1), (1, 0), (0, 0)]]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[0], drawn[3])
    LinearHead(6, 2)
    torch.set_rng_state(before)


@pytest.mark.parametrize("micro", [1, 3, 100])
def test_micro_batches_leave_out_the_same(problem: Problem, micro: int) -> None:
    whole, parts = trained(problem), trained(problem, micro_batch=micro)
    torch.testing.assert_close(whole.linear.weight, parts.linear.weight, rtol=1e-4, atol=1e-6)
    plain = trained(problem, TRAINING.model_copy(update={"dropout": 0.0}))
    assert not torch.allclose(whole.linear.weight, plain.linear.weight, atol=1e-2)


def test_a_resumed_training_leaves_out_the_same(tmp_path: Path, problem: Problem) -> None:
    def interrupt(row: Row) -> None:
        if row["step"] == 16:
            raise KeyboardInterrupt

    whole = trained(problem)
    with pytest.raises(KeyboardInterrupt):
        trained(problem, checkpoints=Checkpoints(tmp_path, 0.0), report=interrupt)
    resumed = trained(problem, checkpoints=Checkpoints(tmp_path, 1e9))
    assert torch.equal(whole.linear.weight, resumed.linear.weight)
