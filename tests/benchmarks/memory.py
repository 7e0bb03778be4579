"""Measures what a worker holds while it finetunes all of MiniLM, against the formula that `w2s plan` shows.

    python tests/benchmarks/memory.py [--batch 32] [--tokens 128]

Two steps in a fresh process with the imports of a stage's worker; its largest resident size is what counts. Exit code 1
if the formula is off by more than a quarter.
"""

import argparse
import resource
from types import SimpleNamespace

import ray.train.torch  # noqa: F401  a worker has it in memory
import torch

from w2s_ray.assets import locate
from w2s_ray.models.load import load_classifier
from w2s_ray.planning.memory import needs_of
from w2s_ray.spec import Sweep
from w2s_ray.training.gradients import Gradients
from w2s_ray.training.loop import seed_everything


def estimated(batch: int, tokens: int) -> float:
    """Returns the bytes that a plan says for the same training."""
    model = {"source": "minilm", "train": "full", "max_length": tokens, "baseline": {"batch_size": batch}}
    splits = {"weak": 40, "student": 40, "validation": 40}
    sweep = Sweep.model_validate(
        {
            "name": "memory",
            "task": {"source": "movie-reviews", "splits": splits},
            "models": {"small": {**model, "depth": 1}, "whole": model},
            "pairings": [{"weak": "small", "strong": "whole"}],
            "methods": ["naive"],
            "search": {"trials": 1},
        }
    )
    return next(one.bytes for one in needs_of(sweep, None) if one.role == "whole (full)") or 0.0


def measured(batch: int, tokens: int) -> float:
    """Trains two steps and returns the process's largest resident size in bytes."""
    seed_everything(0)
    cut = SimpleNamespace(depth=None, pooling="mean", max_length=tokens)
    network, _ = load_classifier(locate("minilm"), cut, 2)
    weights = list(network.parameters())
    gradients, optimizer = Gradients(weights), torch.optim.AdamW(weights, lr=1e-5)
    ids = torch.randint(1000, 20_000, (batch, tokens))
    for _ in range(2):
        gradients.zero()
        gradients.add(network({"input_ids": ids, "attention_mask": torch.ones_like(ids)}).sum())
        optimizer.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main() -> int:
    """Prints both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    taken, said = measured(options.batch, options.tokens), estimated(options.batch, options.tokens)
    print(f"{options.batch} x {options.tokens} tokens: measured {taken / 1e9:.2f} GB, estimated {said / 1e9:.2f} GB")
    return int(not 0.75 < said / taken < 1.25)


if __name__ == "__main__":
    raise SystemExit(main())
