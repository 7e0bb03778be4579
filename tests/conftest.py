"""What tests of several rooms share: one Ray for the whole run, and a small real sweep."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.spec import Sweep

SMALL: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 100, "student": 200, "validation": 100, "test": 200}},
    "models": {
        f"minilm-{depth}": {
            "source": "minilm",
            "depth": depth,
            "max_length": 32,
            "baseline": {"lr": 1e-3, "epochs": 2, "eval_every": 2},
        }
        for depth in (0, 1)
    },
    "pairings": [{"weak": "minilm-0", "strong": "minilm-1"}],
    "methods": ["naive", "confidence"],
    "space": {"lr": {"log_uniform": [2e-4, 1e-2]}, "epochs": {"int": [1, 4]}},
    "seeds": [0, 1],
    "search": {"trials": 4, "parallelism": 2},
}


@pytest.fixture
def small(tmp_path: Path) -> Sweep:
    """A sweep over real reviews and a real model that trains in seconds, with a store of its own."""
    return Sweep.model_validate({**SMALL, "store": str(tmp_path / "store")})


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """A Ray of two CPUs on this machine."""
    import ray

    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    yield ray
    ray.shutdown()
