"""Trivial imitation (Burns et al., appendix E.3), a control: the student reads the weak label in its text.

The paper's average PGR is 0.002 with cross entropy and 0.046 with the confidence loss, where the same sets give about
0.2 and 0.8 without the hint. Much more than 0 here means that the student cannot read the hint.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the student that learns from `weak` on texts which say what `weak` thinks, and is tested on such."""
    return {"student": parts.student(pairing.strong, weak, params, seed, texts=parts.hint(weak))}
