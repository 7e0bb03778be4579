"""One experiment: a pairing, a method and its settings; with a seed it becomes a graph of stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from w2s_ray.methods import bootstrap, confidence, imitation, naive, one_student, probe, prompt
from w2s_ray.methods.labels import taught_labels
from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing, Sweep
from w2s_ray.spec.labels import PREFIX, LabelSettings
from w2s_ray.spec.method import LOSS_PARAMETERS, PROBE_PARAMETERS, PROMPT_PARAMETERS, Chain, Probing, Prompting, Value
from w2s_ray.spec.training import LOSSES, Loss
from w2s_ray.stages.stage import Stage

Recipe = Callable[[Parts, Pairing, Stage, Params, int], dict[str, Stage]]

BASELINES = ("weak", "ceiling")
"""The roles of the stages that no trial can change, and that many share."""

RECIPES: Mapping[str, Recipe] = {
    "naive": naive.recipe,
    "confidence": confidence.recipe,
    "bootstrap": bootstrap.recipe,
    **{loss: partial(one_student.recipe, loss) for loss in LOSSES if loss not in ("cross-entropy", "confidence")},
    "imitation": imitation.recipe,
    "prompt": prompt.recipe,
    "probe": probe.recipe,
}


@dataclass(frozen=True)
class Experiment:
    """What a trial tries.

    Attributes:
        number: of the trial, over the whole sweep.
        params: settings of the student that are not its model's baseline.
        default: whether they are the method's plain defaults.
    """

    number: int
    pairing: str
    method: str
    params: Mapping[str, Value]
    default: bool


def stages_of(parts: Parts, experiment: Experiment) -> dict[str, tuple[Stage, ...]]:
    """Returns role to one stage per seed: `weak`, `ceiling`, `student`, and those that come before a student."""
    per_seed = [_stages_of_seed(parts, experiment, seed) for seed in parts.sweep.seeds]
    return {role: tuple(stages[role] for stages in per_seed) for role in per_seed[0]}


def _stages_of_seed(parts: Parts, experiment: Experiment, seed: int) -> dict[str, Stage]:
    pairing = parts.sweep.pairing(experiment.pairing)
    weak = parts.baseline(pairing.weak, "weak", seed, "weak")
    ceiling = parts.baseline(pairing.strong, "student", seed, "ceiling")
    supervisor = taught_labels(parts, pairing, weak, ceiling, experiment.params, seed)
    return {
        "weak": weak,
        "ceiling": ceiling,
        **RECIPES[experiment.method](parts, pairing, supervisor, experiment.params, seed),
    }


def default_params(sweep: Sweep, pairing: Pairing, method: str) -> dict[str, Value]:
    """Returns the settings of a method's first trial: its defaults, moved into the space where they lie outside."""
    params = dict(sweep.settings_of(method))
    for name, dimension in sweep.space.items():
        if dimension.exists(name, method, pairing.name):
            params[name] = dimension.nearest(params.get(name, _default_value(sweep, pairing, name, params)))
    return params


def _default_value(sweep: Sweep, pairing: Pairing, parameter: str, params: Mapping[str, Value]) -> Value:
    """What a parameter is when neither method nor search sets it."""
    if PREFIX in parameter:
        asked: Value = getattr(LabelSettings(), parameter.rsplit(".", 1)[-1])
        return asked
    if parameter == "chain":
        return ">".join(pairing.intermediates)
    if parameter == "chain_length":
        return len(pairing.intermediates)
    if parameter in ("fresh", "iterations", *PROMPT_PARAMETERS, *PROBE_PARAMETERS):
        plain: Value = {**Chain().model_dump(), **Prompting().model_dump(), **Probing().model_dump()}[parameter]
        return plain
    name = parameter.rsplit(".", 1)[-1]
    owner = pairing.strong if "." not in parameter or not pairing.intermediates else pairing.intermediates[0]
    if name == "loss":
        return "cross-entropy"
    if name in LOSS_PARAMETERS:
        prefix = parameter.removesuffix(name)
        return _default_of_loss(name, params.get(f"{prefix}loss"))
    value: Value = getattr(sweep.models[owner].baseline, name)
    return value


def _default_of_loss(parameter: str, loss: Value | None) -> Value:
    own = next((parameters for name, parameters in LOSSES.items() if name == loss), {})
    value: Value = own.get(parameter, getattr(Loss(), parameter))
    return value


def plan_stages(parts: Parts) -> list[Stage]:
    """Returns the students of every pairing's and method's defaults and all baselines, ready for `walk`."""
    stages: list[Stage] = []
    for pairing in parts.sweep.pairings:
        for method in parts.sweep.methods:
            params = default_params(parts.sweep, pairing, method)
            experiment = Experiment(0, pairing.name, method, params, default=True)
            stages += [stage for of_role in stages_of(parts, experiment).values() for stage in of_role]
    return stages
