"""Naive finetuning (Burns et al., section 4.2): the strong student imitates the weak supervisor's soft labels."""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the student that learns from `weak` with cross entropy alone."""
    return {"student": parts.student(pairing.strong, weak, params, seed)}
