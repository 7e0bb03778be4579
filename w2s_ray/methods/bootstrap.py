"""Bootstrapping (Burns et al., section 4.3.1): a chain of ever stronger students, each labelling for the next.

The chain is `chain` ("minilm-1>minilm-2"), or the pairing's intermediates, thinned evenly to `chain_length`; then the
strong model itself `iterations` times, which alone is strong-to-strong relabelling. Each intermediate student trains
with its model's baseline settings and cross entropy, changed by `intermediate.lr` for all steps or `intermediate.2.lr`
for the second. `intermediate.labels.…` changes the labels that a step makes, before the next one learns from them.

All steps see the same texts, so from the second step on a student learns from labels on texts its teacher was trained
on. With `fresh` the student's half is divided by content into as many disjoint parts as there are trainings, and each
sees its own, as in the paper's chess chains; those had 50,000 puzzles a step, where here the parts get smaller.
"""

from w2s_ray.methods.labels import changed_labels
from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.spec.method import chain_models, step_params
from w2s_ray.stages.operations import Part
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns `intermediate 1`, `intermediate 2`, ... and the `student` that learns from the last of them."""
    stages: dict[str, Stage] = {}
    chain = chain_of(pairing, params)

    ceiling = parts.baseline(pairing.strong, "student", seed, "ceiling")

    def labels(teacher: Stage, step: int) -> Stage:
        """What the training number `step` learns from; the first gets its labels changed before they come here."""
        if step > 1:
            teacher = changed_labels(parts, pairing, teacher, ceiling, step_params(params, step - 1), seed)
        if not params.get("fresh"):
            return teacher
        return parts.relabel(Part(part=step - 1, of=len(chain) + 1), {"labels": teacher})

    teacher = weak
    for step, name in enumerate(chain, start=1):
        role = f"intermediate {step}"
        teacher = parts.student(name, labels(teacher, step), step_params(params, step), seed, role)
        stages[role] = teacher
    last = labels(teacher, len(chain) + 1)
    return {**stages, "student": parts.student(pairing.strong, last, params, seed)}


def chain_of(pairing: Pairing, params: Params) -> tuple[str, ...]:
    """Returns the intermediate models of a trial, in order."""
    again = (pairing.strong,) * int(params.get("iterations", 0))
    if "chain" in params:
        return chain_models(str(params["chain"])) + again
    models = pairing.intermediates
    return evenly(models, min(int(params.get("chain_length", len(models))), len(models))) + again


def evenly(models: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Returns `count` of `models`, evenly spaced: one of four is the third, two are the second and fourth."""
    return tuple(models[(2 * i + 1) * len(models) // (2 * count)] for i in range(count))
