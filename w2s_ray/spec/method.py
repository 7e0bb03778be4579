"""The methods by name, their default settings, and the parameters each of them understands.

A parameter is a field of `Training` or `Loss`, or one of the two that choose a bootstrap chain. Prefixed with
`intermediate.` it sets every intermediate step of a chain, with `intermediate.2.` only the second. Most methods are a
loss by name; a bootstrap chain names its losses with `loss`.
"""

import re
from collections.abc import Collection, Mapping

from pydantic import ValidationError

from w2s_ray.spec.base import replace
from w2s_ray.spec.training import LOSSES, Loss, Training

Value = bool | int | float | str
"""What a parameter of a trial may hold."""

DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "naive": {},
    "confidence": {"alpha": 0.5, "alpha_warmup": 0.2},
    "bootstrap": {},
    **{name: settings for name, settings in LOSSES.items() if name not in ("cross-entropy", "confidence")},
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
_CHAIN_PARAMETERS = ("chain", "chain_length")
_STEP = re.compile(r"intermediate\.(?:([1-9]\d*)\.)?(\w+)")


def known_parameters() -> tuple[str, ...]:
    """Returns the plain names of all parameters, for messages and help."""
    return TRAINING_PARAMETERS + LOSS_PARAMETERS + _CHAIN_PARAMETERS


def methods_with(parameter: str) -> tuple[str, ...]:
    """Returns the methods for which `parameter` means something; empty if it is unknown."""
    step = _STEP.fullmatch(parameter)
    if step:
        return ("bootstrap",) if step[2] in TRAINING_PARAMETERS + LOSS_PARAMETERS else ()
    if parameter in TRAINING_PARAMETERS:
        return tuple(DEFAULTS)
    if parameter == "smoothing":
        return tuple(DEFAULTS)
    if parameter in LOSS_PARAMETERS:
        return tuple(name for name in DEFAULTS if name == "bootstrap" or parameter in _parameters_of(name))
    return ("bootstrap",) if parameter in _CHAIN_PARAMETERS else ()


def _parameters_of(name: str) -> tuple[str, ...]:
    """Returns the parameters of the loss called `name`, none where there is no such loss."""
    return next((tuple(parameters) for loss, parameters in LOSSES.items() if loss == name), ())


def unused_by(losses: Collection[str], parameter: str) -> bool:
    """Says whether `parameter` is one of a loss, and none of `losses` uses it."""
    uses = {*_parameters_of("confidence"), *(name for loss in losses for name in _parameters_of(loss))}
    return parameter in LOSS_PARAMETERS and parameter not in (*uses, "loss", "smoothing")


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
    else:
        owner = Training() if name in TRAINING_PARAMETERS else Loss()
        try:
            replace(owner, **{"name" if name == "loss" else name: value})
        except ValidationError as error:
            raise ValueError(f"{name}: {error.errors()[0]['msg']}") from None


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
