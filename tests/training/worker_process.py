"""Run by test_workers.py as one of several real processes: trains every case and leaves weights and curves."""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from conftest import make_problem
from safetensors.torch import save_file

from w2s_ray.spec.training import Loss, Training
from w2s_ray.training.checkpoints import Checkpoints
from w2s_ray.training.errors import TrainingDiverged
from w2s_ray.training.loop import Worker, finetune, seed_everything

OVERFITTING = Training(batch_size=8, epochs=4, eval_every=2, lr=0.5, select="weak", ema=0.7)
TRAINING = Training(batch_size=8, epochs=2, eval_every=3, lr=0.01, clip=0.5)
OTHER_TRAININGS = {"selected": OVERFITTING, "dropout": TRAINING.model_copy(update={"dropout": 0.4})}
CASES = {
    "naive": (70, 0.5, Loss(), None),
    "confident": (70, 0.5, Loss(alpha=0.75, alpha_warmup=0), None),
    "unbalanced": (70, 0.2, Loss(alpha=0.5), None),
    "one left over": (33, 0.5, Loss(alpha=0.75), None),
    "micro": (33, 0.5, Loss(alpha=0.75), 3),
    "buffer": (33, 0.2, Loss(alpha=0.75, threshold_buffer=20), 3),
    "dropout": (33, 0.5, Loss(alpha=0.75), 3),
    "selected": (33, 0.5, Loss(), 3),
    "product": (33, 0.5, Loss(name="product", alpha=1), None),
}


class Net(torch.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        seed_everything(seed)
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden = self.layers[:2](batch["features"])
        return self.layers[2](hidden * batch["kept"] if "kept" in batch else hidden)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def main(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    worker = Worker(rank, size)
    mark = f"{size}-{rank}"
    for name, (count, positive, loss, micro) in CASES.items():
        training = OTHER_TRAININGS.get(name, TRAINING)
        network = Net(seed=rank)  # worker 0's weights must win
        checkpoints = Checkpoints(folder / f"checkpoints-{size}-{name}", 5, Clock())
        curve = finetune(network, make_problem(count, positive=positive), training, loss, 0, worker, micro, checkpoints)
        save_file(network.state_dict(), folder / f"{name}-{mark}.safetensors")
        (folder / f"{name}-{mark}.json").write_text(json.dumps(curve))
        if size > 1:
            dist.barrier()
        again = Net(seed=7)
        assert (
            finetune(again, make_problem(count, positive=positive), training, loss, 0, worker, micro, checkpoints)
            == curve
        )
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    problem = make_problem()
    if rank == size - 1:
        problem.labels.probabilities[-1] = float("nan")  # only one worker meets it in its share
    try:
        finetune(Net(seed=0), problem, TRAINING, Loss(), 0, worker)
    except TrainingDiverged as error:
        (folder / f"diverged-{mark}.json").write_text(json.dumps(error.step))
    if size > 1:
        # Left to the interpreter's end, gloo's threads now and then abort the process when its peer is already gone.
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    # All is written. Gloo's threads are not always joined when Python ends by itself, which then aborts.
    os._exit(0)
