from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.checkpoints import Checkpoints, Row, Snapshot
from w2s_ray.training.errors import TrainingStopped
from w2s_ray.training.loop import Problem, finetune

TRAINING = Training(batch_size=8, epochs=4, eval_every=5, lr=0.01)
LOSS = Loss(alpha=0.75)


class Clock:
    """Each look takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layers(batch["features"])


def snapshot(step: int) -> Snapshot:
    tensors = {"a": torch.arange(4.0) + step, "b": torch.tensor(1.5)}
    return Snapshot(step, tensors, {"0.step": torch.tensor(3.0)}, [{"step": step, "lr": 0.1}], (0.1 + 0.2, 2))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("stop_at", [5, 10, 25, 36])
@pytest.mark.parametrize("seconds", [1.0, 3.0, 7.0])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, problem: Problem, stop_at: int, seconds: float
) -> None:
    def interrupt(row: Row) -> None:
        if row["step"] == stop_at:
            raise KeyboardInterrupt

    whole, broken, resumed = Net(), Net(), Net()
    curve = finetune(whole, problem, TRAINING, LOSS, seed=3)
    with pytest.raises(KeyboardInterrupt):
        finetune(
            broken, problem, TRAINING, LOSS, 3, checkpoints=Checkpoints(tmp_path, seconds, Clock()), report=interrupt
        )
    saved = Checkpoints(tmp_path, 1e9).resume()
    assert (saved.step if saved else 0) < stop_at
    rows: list[Row] = []
    again = finetune(resumed, problem, TRAINING, LOSS, 3, checkpoints=Checkpoints(tmp_path, 1e9), report=rows.append)
    assert again == curve
    assert rows == curve  # also those before the checkpoint, of which not all may have been heard
    assert same(whole, resumed)


def test_a_training_that_is_asked_to_stop_saves_where_it_is_and_goes_on_from_there(
    tmp_path: Path, problem: Problem
) -> None:
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(len(asked) + 1)
        return len(asked) == 7

    whole, resumed = Net(), Net()
    curve = finetune(whole, problem, TRAINING, LOSS, seed=3)
    checkpoints = Checkpoints(tmp_path, 1e9)
    with pytest.raises(TrainingStopped) as caught:
        finetune(Net(), problem, TRAINING, LOSS, 3, checkpoints=checkpoints, stopping=stopping)
    saved = checkpoints.resume()
    assert saved is not None
    assert caught.value.step == saved.step == 7
    assert finetune(resumed, problem, TRAINING, LOSS, 3, checkpoints=checkpoints) == curve
    assert same(whole, resumed)


def test_a_threshold_over_the_last_predictions_resumes_bit_for_bit(tmp_path: Path, problem: Problem) -> None:
    def interrupt(row: Row) -> None:
        if row["step"] == 20:
            raise KeyboardInterrupt

    buffered = Loss(alpha=0.75, threshold_buffer=30)
    whole, resumed = Net(), Net()
    curve = finetune(whole, problem, TRAINING, buffered, 3)
    saving = Checkpoints(tmp_path, 1.0, Clock())
    with pytest.raises(KeyboardInterrupt):
        finetune(Net(), problem, TRAINING, buffered, 3, checkpoints=saving, report=interrupt)
    saved = Checkpoints(tmp_path, 1e9).resume()
    assert saved is not None
    assert saved.memory["recent"].shape == (30, 2)
    assert finetune(resumed, problem, TRAINING, buffered, 3, checkpoints=Checkpoints(tmp_path, 1e9)) == curve
    assert same(whole, resumed)


def test_a_short_training_saves_nothing(tmp_path: Path, problem: Problem) -> None:
    finetune(Net(), problem, TRAINING, LOSS, 0, checkpoints=Checkpoints(tmp_path / "none", 60))
    assert not (tmp_path / "none").exists()


def test_what_was_saved_is_read_back_and_only_the_last_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    for step in (10, 20):
        checkpoints.save(snapshot(step))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000020.safetensors"]
    found = checkpoints.resume()
    assert found is not None
    assert (found.step, found.curve, found.losses) == (20, [{"step": 20, "lr": 0.1}], (0.1 + 0.2, 2))
    assert torch.equal(found.weights["a"], snapshot(20).weights["a"])
    assert found.moments["0.step"].shape == ()


def test_time_alone_says_when_to_save(tmp_path: Path) -> None:
    clock = Clock()
    checkpoints = Checkpoints(tmp_path, 3, clock)
    assert [checkpoints.due() for _ in range(4)] == [False, False, True, True]
    checkpoints.save(snapshot(1))
    assert not checkpoints.due()


@pytest.mark.parametrize("damage", ["torn", "empty", "one bit", "no state"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    first = checkpoints.save(snapshot(10)).read_bytes()
    last = checkpoints.save(snapshot(20))
    (tmp_path / "step-000000010.safetensors").write_bytes(first)
    whole = last.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    last.write_bytes(
        {"torn": whole[:-3], "empty": b"", "one bit": flipped, "no state": whole.replace(b"state", b"stale")}[damage]
    )
    with pytest.warns(RuntimeWarning, match="step-000000020.*damaged"):
        found = checkpoints.resume()
    assert found is not None
    assert found.step == 10


def test_a_write_that_was_cut_short_is_never_found_and_is_cleared_away(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    (tmp_path / "step-000000030.tmp").write_bytes(b"half")
    assert checkpoints.resume() is None
    checkpoints.save(snapshot(40))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000040.safetensors"]


def test_nothing_is_pickled(tmp_path: Path) -> None:
    with safe_open(Checkpoints(tmp_path, 1).save(snapshot(1)), framework="pt") as file:
        assert set(file.keys()) == {"weights/a", "weights/b", "moments/0.step"}
