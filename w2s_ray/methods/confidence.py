"""The auxiliary confidence loss (Burns et al., section 4.3.2, A.4): the student may trust itself against the labels.

Part of the target, `alpha`, is the student's own hardened prediction; it rises linearly over `alpha_warmup` of the
training.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the student that learns from `weak` with the confidence loss that `params` set."""
    return {"student": parts.student(pairing.strong, weak, params, seed)}
