"""What a sweep may take: hours of CPUs and GPUs, money, time. It ends the search early and changes no number of it."""

import re
from datetime import datetime, timedelta

from pydantic import Field, field_validator, model_validator

from w2s_ray.spec.base import Frozen

_EXAMPLE = "'2027-01-31T18:00+01:00'"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Price(Frozen):
    """What an hour costs, in whatever currency `max_cost` is."""

    cpu: float = Field(default=0.0, ge=0, description="of one CPU")
    gpu: float = Field(default=0.0, ge=0, description="of one GPU")


class Budget(Frozen):
    """Stops asking for trials in time; those that run end, and a raised budget carries on. Null is no bound."""

    max_cpu_hours: float | None = Field(default=None, gt=0, description="that all stages of this sweep hold CPUs")
    max_gpu_hours: float | None = Field(default=None, gt=0, description="that all stages of this sweep hold GPUs")
    max_cost: float | None = Field(default=None, gt=0, description="of these hours at `price`")
    price: Price | None = Field(default=None, description="required with `max_cost`")
    deadline: str | None = Field(
        default=None,
        description="from the sweep's first start, as in 90m, 8h or 2d, or a time with its zone, as in "
        "'2027-01-31T18:00+01:00'",
    )

    @field_validator("deadline", mode="before")
    @classmethod
    def _yaml_reads_a_time_without_quotes_itself(cls, deadline: object) -> object:
        if isinstance(deadline, datetime):
            raise ValueError(f"write the time in quotes, as in {_EXAMPLE}")
        return deadline

    @field_validator("deadline")
    @classmethod
    def _deadline_can_be_read(cls, deadline: str | None) -> str | None:
        if deadline is not None:
            deadline_after(deadline, datetime.fromtimestamp(0).astimezone())
        return deadline

    @model_validator(mode="after")
    def _cost_has_a_price(self) -> "Budget":
        if (self.max_cost is None) != (self.price is None):
            raise ValueError("max_cost and price need each other, as in {max_cost: 50, price: {cpu: 0.04, gpu: 2.5}}")
        if self.price is not None and not (self.price.cpu or self.price.gpu):
            raise ValueError("price is 0 for CPUs and GPUs, so max_cost would never be reached")
        return self


def deadline_after(deadline: str, start: datetime) -> datetime:
    """Returns the moment that `deadline` means for a sweep that began at `start`.

    Raises:
        ValueError: it is neither a duration nor a time with a zone.
    """
    duration = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", deadline.strip())
    if duration:
        return start + timedelta(**{_UNITS[duration[2]]: float(duration[1])})
    text = re.sub(r"[Zz]$", "+00:00", deadline.strip())  # Python 3.10 does not read it
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a deadline is a duration, as in 90m, 8h or 2d, or a time, as in {_EXAMPLE}") from None
    if moment.tzinfo is None:
        raise ValueError(f"the deadline needs its zone, as in '{deadline}+01:00' or '{deadline}Z'")
    return moment
