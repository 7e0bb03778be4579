"""What a sweep is. Everything that a user says is checked here, before anything starts."""

from w2s_ray.spec.base import Frozen, replace
from w2s_ray.spec.model import Model, Pairing
from w2s_ray.spec.problems import Problem, SpecError
from w2s_ray.spec.resources import ResourcePlan, Resources
from w2s_ray.spec.search import Objective, Pruner, Search, Tracking
from w2s_ray.spec.space import Dimension, When
from w2s_ray.spec.sweep import Sweep
from w2s_ray.spec.task import Columns, Difficulty, Splits, Task
from w2s_ray.spec.training import Loss, Training

__all__ = [
    "Columns",
    "Difficulty",
    "Dimension",
    "Frozen",
    "Loss",
    "Model",
    "Objective",
    "Pairing",
    "Problem",
    "Pruner",
    "ResourcePlan",
    "Resources",
    "Search",
    "SpecError",
    "Splits",
    "Sweep",
    "Task",
    "Tracking",
    "Training",
    "When",
    "replace",
]
