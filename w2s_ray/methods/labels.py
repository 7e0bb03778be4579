"""The labels that the first student of a trial learns from: the weak supervisor's, and what `labels.…` does to them.

Each operation that is asked for is one stage, in the order of `LabelSettings`; without any the weak supervisor itself
is returned, so that a trial which asks nothing has the stages it always had. In a bootstrap chain the operations are
done where the weak labels enter it, before the first step; a step may have operations of its own on what it passes on.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.spec.labels import ASK_CEILING, LabelSettings, Structure, ensemble_models, label_settings
from w2s_ray.stages.operations import Flip, Harden, Keep, Mean, Operation, Probe, PutTruth, Temper
from w2s_ray.stages.stage import Stage


def taught_labels(parts: Parts, pairing: Pairing, weak: Stage, ceiling: Stage, params: Params, seed: int) -> Stage:
    """Returns the stage whose predictions are a trial's weak labels; `weak` if the trial leaves them alone."""
    supervisor = _supervisor(parts, pairing, weak, label_settings(params), seed)
    return changed_labels(parts, pairing, supervisor, ceiling, params, seed)


def changed_labels(parts: Parts, pairing: Pairing, stage: Stage, ceiling: Stage, params: Params, seed: int) -> Stage:
    """Returns the labels of `stage` with the operations that `params` ask for; `stage` itself if there are none."""
    for operation in _operations(label_settings(params), seed):
        inputs = {"labels": stage}
        if isinstance(operation, Probe):
            inputs["features"] = parts.features(pairing.strong)
        if isinstance(operation, Flip) and operation.structure in ASK_CEILING:
            inputs["ceiling"] = ceiling
        stage = parts.relabel(operation, inputs)
    return stage


def _supervisor(parts: Parts, pairing: Pairing, weak: Stage, asked: LabelSettings, seed: int) -> Stage:
    """Returns `weak`, or its mean with its own other seeds or with other models under the same seed."""
    if asked.ensemble == "none":
        return weak
    if asked.ensemble == "seeds":
        several = [parts.baseline(pairing.weak, "weak", one, "weak") for one in parts.sweep.seeds]
    else:
        several = [parts.baseline(name, "weak", seed, "weak") for name in ensemble_models(asked.ensemble)]
    # Sorted and each once: the mean of a, b and the mean of b, a are one stage.
    distinct = sorted({weak, *several}, key=lambda stage: stage.address)
    if len(distinct) == 1:
        return weak
    return parts.relabel(Mean(), {f"labels {number}": stage for number, stage in enumerate(distinct, start=1)})


def _operations(asked: LabelSettings, seed: int) -> list[Operation]:
    found: list[Operation] = []
    if asked.errors != "supervisor":
        found.append(_flip(asked.errors, None, seed))
    if asked.noise_rate > 0:
        found.append(_flip(asked.noise, asked.noise_rate, seed))
    if asked.temperature != 1:
        found.append(Temper(temperature=asked.temperature))
    if asked.probe != "none":
        found.append(_probe(asked))
    if asked.truth > 0:
        found.append(PutTruth(fraction=asked.truth, seed=seed))
    if asked.keep < 1:
        found.append(Keep(share=asked.keep))
    if asked.harden:
        found.append(Harden())
    return found


def _flip(structure: Structure, rate: float | None, seed: int) -> Flip:
    return Flip(structure=structure, rate=rate, seed=seed)


def _probe(asked: LabelSettings) -> Probe:
    model, action = asked.probe.split("-")
    strength = asked.neighbours if model == "knn" else asked.l2
    dropped = asked.dropped if action == "filter" else 0.0
    return Probe.model_validate({"model": model, "action": action, "strength": strength, "dropped": dropped})
