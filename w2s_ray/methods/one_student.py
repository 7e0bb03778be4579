"""The methods that are a loss: one student learns from the weak supervisor's labels with the loss of the method's name.

The losses, their equations and sources are in `w2s_ray.training.losses`; docs/methods.md says when they help.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.spec.training import LossName
from w2s_ray.stages.stage import Stage


def recipe(loss: LossName, parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the student that learns from `weak` with the loss called `loss`, whose settings `params` may hold."""
    return {"student": parts.student(pairing.strong, weak, {"loss": loss, **params}, seed)}
