"""The methods by name, their default settings, and the parameters each of them understands.

A parameter is a field of `Training` or `Loss`, one of those that choose a bootstrap chain or write a prompt, or, with
the prefix `labels.`, a field of `LabelSettings`. Prefixed with `intermediate.` one of the first two kinds sets every
intermediate step of a chain, with `intermediate.2.` only the second.
"""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from w2s_ray.spec.base import Frozen, replace
from w2s_ray.spec.labels import LABEL_PARAMETERS, PREFIX, LabelSettings
from w2s_ray.spec.training import Loss, Training

Value = bool | int | float | str
"""What a parameter of a trial may hold."""

DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "naive": {},
    "confidence": {"alpha": 0.5, "alpha_warmup": 0.2},
    "bootstrap": {},
    "imitation": {},
    "prompt": {"shots": 0, "shot_labels": "weak", "template": ""},
}
"""Each method's own settings; what is not named here comes from the strong model's baseline."""

TRAINING_PARAMETERS = ("lr", "epochs", "batch_size", "weight_decay", "schedule", "lr_warmup", "clip")
LOSS_PARAMETERS = tuple(Loss.model_fields)
_PROMPT_PARAMETERS = tuple(DEFAULTS["prompt"])
_TRAINED = tuple(method for method in DEFAULTS if method != "prompt")
_CHAIN_PARAMETERS = ("chain", "chain_length", "fresh", "iterations")
_STEP = re.compile(r"intermediate\.(?:([1-9]\d*)\.)?(\w+)")


def known_parameters() -> tuple[str, ...]:
    """Returns the plain names of all parameters, for messages and help."""
    return TRAINING_PARAMETERS + LOSS_PARAMETERS + _CHAIN_PARAMETERS + LABEL_PARAMETERS + _PROMPT_PARAMETERS


def methods_with(parameter: str) -> tuple[str, ...]:
    """Returns the methods for which `parameter` means something; empty if it is unknown."""
    step = _STEP.fullmatch(parameter)
    if step:
        return ("bootstrap",) if step[2] in TRAINING_PARAMETERS + LOSS_PARAMETERS else ()
    if parameter in TRAINING_PARAMETERS + LABEL_PARAMETERS:
        return _TRAINED
    if parameter in _PROMPT_PARAMETERS:
        return ("prompt",)
    if parameter in LOSS_PARAMETERS:
        return ("confidence", "bootstrap", "imitation")
    return ("bootstrap",) if parameter in _CHAIN_PARAMETERS else ()


def check_value(parameter: str, value: Value) -> None:
    """Raises ValueError, saying what would be right, if a known `parameter` cannot hold `value`."""
    step = _STEP.fullmatch(parameter)
    name = step[2] if step else parameter
    if name == "chain":
        if not isinstance(value, str) or not value:
            raise ValueError("chain names models in order, as in 'minilm-1>minilm-2'")
    elif name == "chain_length":
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError("chain_length is the number of intermediate models, 1 or more")
    elif name == "iterations":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError("iterations is how often the strong model relabels for itself, 0 or more")
    elif name == "fresh":
        if not isinstance(value, bool):
            raise ValueError("fresh is true or false")
    elif name == "shots":
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError("shots is a number of answered examples, 0 or more")
    elif name == "shot_labels":
        if value not in ("weak", "truth"):
            raise ValueError("shot_labels is weak or truth")
    elif name == "template":
        if not isinstance(value, str) or (value and value.count("{text}") != 1):
            raise ValueError("template holds {text} exactly once, or is empty for the default")
    else:
        owner: Frozen = Training() if name in TRAINING_PARAMETERS else Loss()
        if name in LABEL_PARAMETERS:
            owner, name = LabelSettings(), name.removeprefix(PREFIX)
        try:
            replace(owner, **{name: value})
        except ValidationError as error:
            raise ValueError(f"{name}: {error.errors()[0]['msg']}") from None


def chain_models(value: str) -> tuple[str, ...]:
    """Splits the value of `chain` into model names."""
    return tuple(name.strip() for name in value.split(">"))
