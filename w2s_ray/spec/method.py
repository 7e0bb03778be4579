"""The methods by name, their default settings, and the parameters each of them understands.

A parameter is a field of `Training`, `Loss`, `Chain`, `Prompting` or `Probing`, or with the prefix `labels.` one of
`LabelSettings`. One of the first two or the last, prefixed with `intermediate.`, sets every intermediate step of a
chain, with `intermediate.2.` only the second. Most methods are a loss by name; a bootstrap chain names its losses with
`loss`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import Field, StrictBool, StrictInt, ValidationError, field_validator

from w2s_ray.spec.base import Frozen, replace
from w2s_ray.spec.labels import ENSEMBLE, LABEL_PARAMETERS, PREFIX, LabelSettings, label_settings
from w2s_ray.spec.training import LOSSES, Loss, Training

Value = bool | int | float | str
"""What a parameter of a trial may hold."""


class Chain(Frozen):
    """Which models a bootstrap chain passes through, and what each step sees."""

    chain: str = Field(default="", description="models in order, as in minilm-1>minilm-2")
    chain_length: StrictInt = Field(default=1, ge=1, description="intermediate models")
    iterations: StrictInt = Field(default=0, ge=0, description="how often the strong model relabels for itself")
    fresh: StrictBool = Field(default=False, description="whether each step sees texts of its own")

    @field_validator("chain")
    @classmethod
    def _names_models(cls, chain: str) -> str:
        if chain and not all(chain_models(chain)):
            raise ValueError("name models in order, as in 'minilm-1>minilm-2'")
        return chain


class Prompting(Frozen):
    """How a decoder is asked."""

    shots: StrictInt = Field(default=0, ge=0, description="answered examples before the question")
    shot_labels: Literal["weak", "truth"] = "weak"
    template: str = Field(default="", description="holds {text} once; empty for the default")

    @field_validator("template")
    @classmethod
    def _holds_the_text(cls, template: str) -> str:
        if template and template.count("{text}") != 1:
            raise ValueError("template holds {text} exactly once, or is empty for the default")
        return template


class Probing(Frozen):
    """What the linear probe of the method `probe` learns, and on whose features."""

    probe_labels: Literal["weak", "truth"] = Field(
        default="weak", description="what it learns; truth is that of the student's half, a cheat"
    )
    probe_after: Literal["none", "weak"] = Field(
        default="none",
        description="on the pretrained model's features, or on those after finetuning on the weak labels",
    )
    probe_l2: float = Field(default=1e-3, gt=0, description="penalty of the probe")


DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "naive": {},
    "confidence": {"alpha": 0.5, "alpha_warmup": 0.2},
    "bootstrap": {},
    **{name: settings for name, settings in LOSSES.items() if name not in ("cross-entropy", "confidence")},
    "imitation": {},
    "prompt": Prompting().model_dump(),
    "probe": Probing().model_dump(),
}
"""Each method's own settings; what is not named here comes from the strong model's baseline."""

TRAINING_PARAMETERS = (
    "lr",
    "epochs",
    "batch_size",
    "weight_decay",
    "schedule",
    "lr_warmup",
    "clip",
    "select",
    "ema",
    "dropout",
)
LOSS_PARAMETERS = ("loss", *(name for name in Loss.model_fields if name != "name"))
CHAIN_PARAMETERS, PROMPT_PARAMETERS = tuple(Chain.model_fields), tuple(Prompting.model_fields)
PROBE_PARAMETERS = tuple(Probing.model_fields)
_TRAINED = tuple(method for method in DEFAULTS if method != "prompt")
_STEP = re.compile(r"intermediate\.(?:([1-9]\d*)\.)?((?:labels\.)?\w+)")
STEP_PARAMETERS = (*TRAINING_PARAMETERS, *LOSS_PARAMETERS, *(one for one in LABEL_PARAMETERS if one != ENSEMBLE))
"""What a step of a chain may have of its own; its labels are one model's."""
_OWNERS: Mapping[str, Frozen] = {
    **dict.fromkeys(TRAINING_PARAMETERS, Training()),
    **dict.fromkeys(LOSS_PARAMETERS, Loss()),
    **dict.fromkeys(CHAIN_PARAMETERS, Chain()),
    **dict.fromkeys(PROMPT_PARAMETERS, Prompting()),
    **dict.fromkeys(PROBE_PARAMETERS, Probing()),
    **dict.fromkeys(LABEL_PARAMETERS, LabelSettings()),
}


def known_parameters() -> tuple[str, ...]:
    """Returns the plain names of all parameters, for messages and help."""
    return tuple(_OWNERS)


def methods_with(parameter: str) -> tuple[str, ...]:
    """Returns the methods for which `parameter` means something; empty if it is unknown."""
    step = _STEP.fullmatch(parameter)
    if step:
        return ("bootstrap",) if step[2] in STEP_PARAMETERS else ()
    if parameter in (*TRAINING_PARAMETERS, *LABEL_PARAMETERS, "smoothing"):
        return _TRAINED
    if parameter in PROMPT_PARAMETERS:
        return ("prompt",)
    if parameter in PROBE_PARAMETERS:
        return ("probe",)
    if parameter in LOSS_PARAMETERS:
        return tuple(name for name in _TRAINED if name == "bootstrap" or parameter in _parameters_of(name))
    return ("bootstrap",) if parameter in CHAIN_PARAMETERS else ()


def _parameters_of(method: str) -> tuple[str, ...]:
    """Returns the parameters of a method's loss; imitation is a control of the confidence loss too."""
    return tuple(LOSSES.get("confidence" if method == "imitation" else method, ()))  # type: ignore[call-overload]


def unused_by(losses: Collection[str], parameter: str) -> bool:
    """Says whether `parameter` is one of a loss, and none of `losses` uses it."""
    uses = {*_parameters_of("confidence"), *(name for loss in losses for name in _parameters_of(loss))}
    return parameter in LOSS_PARAMETERS and parameter not in (*uses, "loss", "smoothing")


def check_value(parameter: str, value: Value) -> None:
    """Raises ValueError, saying what would be right, if a known `parameter` cannot hold `value`."""
    step = _STEP.fullmatch(parameter)
    name = step[2] if step else parameter
    field = "name" if name == "loss" else name.removeprefix(PREFIX)
    try:
        replace(_OWNERS[name], **{field: value})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"{name}: {message}") from None


def loss_of(params: Mapping[str, Value]) -> Loss:
    """Returns the loss that a student's parameters name, in normal form; what they leave open is the loss's default.

    Without `loss` it is cross entropy, or with `alpha` the confidence loss.
    """
    given = {name: value for name, value in params.items() if name in LOSS_PARAMETERS and name != "loss"}
    if "loss" not in params:
        return Loss.model_validate(given).normal()
    name = Loss.model_validate({"name": params["loss"]}).name
    return Loss.model_validate({"name": name, **LOSSES[name], **given}).normal()


def chain_models(value: str) -> tuple[str, ...]:
    """Splits the value of `chain` into model names."""
    return tuple(name.strip() for name in value.split(">"))


def step_params(params: Mapping[str, Value], step: int) -> dict[str, Value]:
    """Returns the settings of intermediate `step` of a chain: those for it alone win over those for every step."""
    found = [(match, value) for name, value in params.items() if (match := _STEP.fullmatch(name))]
    every = {match[2]: value for match, value in found if match[1] is None}
    return {**every, **{match[2]: value for match, value in found if match[1] == str(step)}}


def labels_know_truth(params: Mapping[str, Value]) -> bool:
    """Says whether a trial puts ground truth of the student's half into labels, those passed on in a chain included."""
    steps = {int(match[1] or 0) for name in params if (match := _STEP.fullmatch(name))}
    return any(label_settings(one).read_truth for one in (params, *(step_params(params, step) for step in steps)))
