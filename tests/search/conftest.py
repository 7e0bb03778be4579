"""A small sweep that any test of the search may use; nothing of it is trained."""

from typing import Any

import pytest

from w2s_ray.spec import Sweep

HEAD = {"lr": 1e-3, "epochs": 3}
SWEEP: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {f"minilm-{depth}": {"source": "minilm", "depth": depth, "baseline": HEAD} for depth in (0, 1, 2)},
    "pairings": [
        {"weak": "minilm-0", "strong": "minilm-2", "intermediates": ["minilm-1"]},
        {"weak": "minilm-1", "strong": "minilm-2", "intermediates": ["minilm-0"]},
    ],
    "methods": ["naive", "confidence", "bootstrap"],
    "space": {
        "lr": {"log_uniform": [1e-4, 1e-2]},
        "epochs": {"int": [1, 5]},
        "alpha": {"uniform": [0, 0.9], "when": {"method": "confidence"}},
    },
    "seeds": [0, 1],
    "search": {"trials": 20, "parallelism": 4},
}


@pytest.fixture(scope="session")
def sweep() -> Sweep:
    return Sweep.model_validate(SWEEP)
