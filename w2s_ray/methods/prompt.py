"""Prompting (Burns et al., section 5.2.1): the strong model is asked and not trained, with or without shots.

Zero-shot prompting reads no label, so all seeds share one stage. Shots are drawn anew for each seed.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the strong model as it answers; `weak` labels its shots unless they are true."""
    return {"student": parts.prompt(pairing.strong, weak, params, seed)}
