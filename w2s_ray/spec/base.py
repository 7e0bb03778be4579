"""The base of everything a user or a stage can say: frozen, closed to unknown keys, free of NaN and infinity.

A spec never changes after it was checked; a variant is made with `replace`, which checks again.
"""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

_Model = TypeVar("_Model", bound="Frozen")


class Frozen(BaseModel):
    """A frozen, closed pydantic model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def replace(model: _Model, /, **changes: Any) -> _Model:
    """Returns `model` with `changes` applied and validated; raises pydantic's ValidationError on a bad value."""
    values = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model).model_validate({**values, **changes})
