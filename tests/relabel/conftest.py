"""Weak labels of made-up examples whose ids look like those of real ones."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from w2s_ray.labels import Labels

Make = Callable[..., Labels]


@pytest.fixture
def weak() -> Make:
    """Returns labels of `count` examples with random probabilities."""

    def build(count: int = 400, classes: int = 2, seed: int = 0) -> Labels:
        ids = np.array([hashlib.sha256(f"text {number}".encode()).hexdigest()[:16] for number in range(count)])
        drawn = np.random.default_rng(seed).dirichlet(np.ones(classes), size=count)
        return Labels(ids, drawn.astype(np.float32), "weak stage")

    return build
