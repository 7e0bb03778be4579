"""Bootstrapping (Burns et al., section 4.3.1): a chain of ever stronger students, each labelling for the next.

The chain is `chain` ("minilm-1>minilm-2"), or the pairing's intermediates, thinned evenly to `chain_length`. Each
intermediate student trains with its model's baseline settings and cross entropy, changed by `intermediate.lr` for all
steps or `intermediate.2.lr` for the second. All steps see the same texts, so from the second step on a student learns
from labels on texts its teacher was trained on; the paper's chess chains used fresh texts for each step.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.spec.method import chain_models
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns `intermediate 1`, `intermediate 2`, ... and the `student` that learns from the last of them."""
    stages: dict[str, Stage] = {}
    teacher = weak
    for step, name in enumerate(chain_of(pairing, params), start=1):
        role = f"intermediate {step}"
        teacher = parts.student(name, teacher, step_params(params, step), seed, role)
        stages[role] = teacher
    return {**stages, "student": parts.student(pairing.strong, teacher, params, seed)}


def chain_of(pairing: Pairing, params: Params) -> tuple[str, ...]:
    """Returns the intermediate models of a trial, in order."""
    if "chain" in params:
        return chain_models(str(params["chain"]))
    models = pairing.intermediates
    return evenly(models, min(int(params.get("chain_length", len(models))), len(models)))


def evenly(models: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Returns `count` of `models`, evenly spaced: one of four is the third, two are the second and fourth."""
    return tuple(models[(2 * i + 1) * len(models) // (2 * count)] for i in range(count))


def step_params(params: Params, step: int) -> Params:
    """Returns the settings of intermediate `step`: those for it alone win over those for every step."""
    every = {key.split(".")[1]: value for key, value in params.items() if key.count(".") == 1}
    own = {key.split(".")[2]: value for key, value in params.items() if key.startswith(f"intermediate.{step}.")}
    return {**every, **own}
