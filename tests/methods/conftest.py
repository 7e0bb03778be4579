"""A ladder of models over which graphs of stages are built; nothing of it is downloaded or trained."""

from collections.abc import Callable
from typing import Any

import pytest

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Sweep
from w2s_ray.spec.method import Value
from w2s_ray.stages.stage import Stage

LADDER: dict[str, Any] = {
    "name": "ladder",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {
        # Every model has a learning rate of its own, so that a test sees whose settings a stage was given.
        f"minilm-{depth}": {"source": "minilm", "depth": depth, "baseline": {"lr": (depth + 1) * 1e-4, "epochs": 3}}
        for depth in range(6)
    },
    "pairings": [
        {
            "weak": "minilm-0",
            "strong": "minilm-5",
            "intermediates": ["minilm-1", "minilm-2", "minilm-3", "minilm-4"],
        }
    ],
    "methods": ["naive", "confidence", "bootstrap"],
    "space": {"lr": {"log_uniform": [1e-4, 1e-2]}},
    "seeds": [0, 1],
}

Graph = Callable[..., dict[str, tuple[Stage, ...]]]


@pytest.fixture(scope="session")
def ladder() -> Sweep:
    return Sweep.model_validate(LADDER)


@pytest.fixture(scope="session")
def graph(ladder: Sweep) -> Graph:
    """Returns role to one stage per seed of a method with these parameters."""
    parts = Parts(ladder)

    def build(method: str, **params: Value) -> dict[str, tuple[Stage, ...]]:
        # A keyword cannot hold a dot: intermediate__2__lr is intermediate.2.lr.
        named = {name.replace("__", "."): value for name, value in params.items()}
        return stages_of(parts, Experiment(0, ladder.pairings[0].name, method, named, default=False))

    return build
