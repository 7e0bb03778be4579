"""One dimension of the search space: a range, a choice or a constant, and the trials it exists in.

A dimension exists for the methods that understand its parameter, narrowed by `when`. In YAML a plain value is a
constant: `batch_size: 16` means the same as `batch_size: {constant: 16}`.
"""

from typing import Any

from pydantic import Field, model_validator

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.method import Value, methods_with

_KINDS = ("uniform", "log_uniform", "int", "choice", "constant")


class When(Frozen):
    """The methods and pairings (as `weak->strong`) in which a dimension exists; null means all."""

    method: tuple[str, ...] | None = None
    pairing: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _single_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: (value,) if isinstance(value, str) else value for key, value in data.items()}

    @model_validator(mode="after")
    def _arrows(self) -> "When":
        if self.pairing:
            object.__setattr__(
                self, "pairing", tuple(name.replace("->", "→").replace(" ", "") for name in self.pairing)
            )
        return self


class Dimension(Frozen):
    """Exactly one of the five kinds."""

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(default=None, alias="int")
    choice: tuple[Value, ...] | None = None
    constant: Value | None = None
    log: bool = Field(default=False, description="for int: search on a log scale")
    points: int | None = Field(
        default=None, ge=2, description="evenly spaced points of uniform that grid search visits"
    )
    when: When = When()

    @model_validator(mode="before")
    @classmethod
    def _plain_value_is_constant(cls, data: Any) -> Any:
        return data if isinstance(data, dict) else {"constant": data}

    @model_validator(mode="after")
    def _is_one_possible_range(self) -> "Dimension":
        given = [kind for kind in _KINDS if self._get(kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(_KINDS)}; got {', '.join(given) or 'none'}")
        bounds = self.uniform or self.log_uniform or self.int_
        if bounds and bounds[0] > bounds[1]:
            raise ValueError(f"the range [{bounds[0]}, {bounds[1]}] is empty; write [{bounds[1]}, {bounds[0]}]")
        if bounds and bounds[0] == bounds[1]:
            raise ValueError(f"the range [{bounds[0]}, {bounds[1]}] never varies; write the plain value {bounds[0]}")
        if bounds and (self.log_uniform or self.log) and bounds[0] <= 0:
            raise ValueError(f"a log range starts above 0, got {bounds[0]}")
        if self.log and not self.int_:
            raise ValueError("log belongs to int; use log_uniform for real numbers")
        if self.points and not self.uniform:
            raise ValueError("points belongs to uniform")
        if self.choice is not None and len(set(map(repr, self.choice))) < 2:
            raise ValueError(f"a choice needs two different values or more, got {list(self.choice)}")
        return self

    def _get(self, kind: str) -> Any:
        return getattr(self, "int_" if kind == "int" else kind)

    @property
    def varies(self) -> bool:
        """Whether the search can change it."""
        return self.constant is None

    def ends(self) -> tuple[Value, ...]:
        """Returns the values that have to be possible for all of the dimension to be: bounds, choices, the constant."""
        if self.constant is not None:
            return (self.constant,)
        return self.uniform or self.log_uniform or self.int_ or self.choice or ()

    def nearest(self, value: Value) -> Value:
        """Returns the possible value nearest to `value`; the first choice or the low end where none is near to it."""
        if self.constant is not None:
            return self.constant
        if self.choice is not None:
            return value if value in self.choice else self.choice[0]
        low, high = self.ends()
        if isinstance(value, str):  # as midweak, a window's radius that is no number
            return low
        return min(max(value, low), high)

    def exists(self, parameter: str, method: str, pairing: str) -> bool:
        """Whether a trial of `method` and `pairing` has this dimension under the name `parameter`."""
        return (
            method in methods_with(parameter)
            and (self.when.method is None or method in self.when.method)
            and (self.when.pairing is None or pairing in self.when.pairing)
        )
