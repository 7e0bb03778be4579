"""A small problem on features, linearly learnable, with noisy soft labels in place of a weak supervisor's."""

import numpy as np
import pytest

from w2s_ray.labels import Labels, ground_truth
from w2s_ray.training.inputs import FeatureInputs
from w2s_ray.training.loop import Problem


def make_problem(count: int = 70, width: int = 6, positive: float = 0.5) -> Problem:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(count + 40, width)).astype(np.float32)
    score = features @ draw.normal(size=width) + 0.5 * draw.normal(size=count + 40)
    truth = (score > np.quantile(score, 1 - positive)).astype(np.int64)
    soft = np.clip(0.2 + 0.6 * truth + 0.1 * draw.normal(size=count + 40), 0.01, 0.99).astype(np.float32)
    ids = np.array([f"example-{place}" for place in range(count + 40)])
    weak = Labels(ids, np.stack([1 - soft, soft], axis=1), "weak")
    train, held = ids[:count], ids[count:]
    judges = {"truth": ground_truth(held, truth[count:], 2), "supervisor": weak.of(held)}
    return Problem(FeatureInputs(features[:count]), weak.of(train), FeatureInputs(features[count:]), judges)


@pytest.fixture
def problem() -> Problem:
    return make_problem()


@pytest.fixture
def unbalanced() -> Problem:
    return make_problem(positive=0.2)
