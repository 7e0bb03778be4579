"""What a trial does to the weak supervisor's labels before the first student learns from them: parameters `labels.…`.

Whatever is asked for is done in one order, that of the fields below: who supervises, which errors it makes, how sure
its labels are, which of them are believed, what is known better, and last whether they are hard.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from w2s_ray.spec.base import Frozen

PREFIX = "labels."
ENSEMBLE = "labels.ensemble"
Structure = Literal["random", "longest", "shortest", "ceiling-unconfident", "ceiling-confident"]
ASK_CEILING = ("ceiling-unconfident", "ceiling-confident")


class LabelSettings(Frozen):
    """Label operations; the defaults leave the labels alone."""

    ensemble: str = Field(default="none", description="mean over `seeds`, or of models as in small+middle")
    errors: Literal["supervisor"] | Structure = Field(
        default="supervisor", description="ground truth with as many errors as the supervisor's, placed so"
    )
    noise_rate: float = Field(default=0.0, ge=0, le=1, description="share of the labels that is flipped")
    noise: Structure = Field(default="random", description="which labels are flipped")
    temperature: float = Field(default=1.0, gt=0, le=100, description="below 1 surer, above 1 less sure")
    probe: Literal["none", "knn-filter", "knn-relabel", "logistic-filter", "logistic-relabel"] = Field(
        default="none", description="on the strong model's features, out of fold"
    )
    dropped: float = Field(default=0.1, gt=0, lt=1, description="share of each class that a filter drops")
    neighbours: int = Field(default=50, ge=1, description="of a kNN probe")
    l2: float = Field(default=1e-2, ge=0, description="penalty of a logistic probe")
    truth: float = Field(default=0.0, ge=0, le=1, description="share of the labels replaced by ground truth")
    keep: float = Field(default=1.0, gt=0, le=1, description="surest share of each class that is kept")
    harden: bool = Field(default=False, description="one class each instead of probabilities")

    @field_validator("ensemble")
    @classmethod
    def _names_something(cls, ensemble: str) -> str:
        if not all(ensemble_models(ensemble)):
            raise ValueError("write seeds, or models as in small+middle")
        return ensemble

    @property
    def ask_ceiling(self) -> bool:
        """Whether the place of an error depends on the ceiling's predictions."""
        return self.errors in ASK_CEILING or (self.noise_rate > 0 and self.noise in ASK_CEILING)

    @property
    def read_truth(self) -> bool:
        """Whether they put ground truth of the student's half, or what was trained on it, into the labels."""
        return self.truth > 0 or self.errors != "supervisor" or self.ask_ceiling


LABEL_PARAMETERS = tuple(f"{PREFIX}{name}" for name in LabelSettings.model_fields)


def label_settings(params: Mapping[str, bool | int | float | str]) -> LabelSettings:
    """Returns what the parameters of a trial ask of its labels; others are passed over."""
    own = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
    return LabelSettings.model_validate(own)


def ensemble_models(value: str) -> tuple[str, ...]:
    """Splits the value of `labels.ensemble` into model names; none for `none` and `seeds`."""
    return () if value in ("none", "seeds") else tuple(name.strip() for name in value.split("+"))
