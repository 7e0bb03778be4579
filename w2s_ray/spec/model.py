"""A pretrained model cut to a depth, and the fixed settings of its baseline.

A model cut after layer k, with a head on pooled states, is a smaller pretrained model; so one download gives a ladder.
So does a head on the first k features of one depth: models each of which holds the smaller ones whole (appendix E.1).
The baseline hyper-parameters belong to the model: weak supervisor and ceiling are trained with them in every trial, or
the search would learn to ruin the ceiling.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.training import Training

Train = Literal["head", "full", "top", "lp-ft", "lora", "logistic", "knn"]

OPTIONS: Mapping[Train, tuple[str, ...]] = {
    "head": ("features",),
    "full": (),
    "top": ("top_layers",),
    "lp-ft": ("l2",),
    "lora": ("lora_rank", "lora_alpha"),
    "logistic": ("l2", "features"),
    "knn": ("neighbours", "metric", "features"),
}
"""Each way to train and its own settings; docs/methods.md explains."""

FROZEN = ("head", "logistic", "knn")
"""These read frozen features and nothing else."""

ON_FEATURES = (*FROZEN, "lp-ft")
"""These read frozen features."""

AT_ONCE = ("logistic", "knn")
"""These are fitted at once, by the cross entropy or the mean of the labels; no setting of a training means anything."""


class Model(Frozen):
    """A named model, a folder's path, or a hub id with its revision; how deep; how trained."""

    source: str = Field(min_length=1, description="a name that `w2s models` lists, a folder's path, or a hub model id")
    revision: str | None = Field(default=None, description="commit of the hub model; required for a hub id")
    depth: int | None = Field(default=None, ge=0, description="layers kept; 0 keeps the embeddings, null keeps all")
    pooling: Literal["mean", "last"] = Field(default="mean", description="over the tokens the attention mask allows")
    max_length: int = Field(default=128, ge=4, description="tokens kept of a text")
    train: Train = Field(
        default="head",
        description="what is trained: a head on frozen features, all weights, the top layers, all after a probe, an "
        "adapter, or a probe fitted at once",
    )
    top_layers: int = Field(
        default=1, ge=1, description="top: layers trained", json_schema_extra={"since_default": True}
    )
    lora_rank: int = Field(default=8, ge=1, description="lora: rank", json_schema_extra={"since_default": True})
    lora_alpha: float = Field(
        default=16.0,
        gt=0,
        description="lora: rank times the adapter's scale",
        json_schema_extra={"since_default": True},
    )
    l2: float = Field(
        default=1e-3,
        gt=0,
        description="logistic, lp-ft: penalty of the probe",
        json_schema_extra={"since_default": True},
    )
    neighbours: int = Field(
        default=50, ge=1, description="knn: training points averaged", json_schema_extra={"since_default": True}
    )
    metric: Literal["cosine", "euclidean"] = Field(
        default="cosine", description="knn: of standardized features", json_schema_extra={"since_default": True}
    )
    features: int | None = Field(
        default=None,
        ge=1,
        description="head, logistic, knn: only the first columns of the frozen features; null takes all",
        json_schema_extra={"since_default": True},
    )
    baseline: Training = Training()

    @model_validator(mode="after")
    def _options_belong_to_train(self) -> "Model":
        for name in sorted({name for names in OPTIONS.values() for name in names} - set(OPTIONS[self.train])):
            if getattr(self, name) != type(self).model_fields[name].default:
                owners = " or ".join(train for train, names in OPTIONS.items() if name in names)
                raise ValueError(f"{name} belongs to train: {owners}, but this model has train: {self.train}")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The settings that `train` uses besides those of a training."""
        return {name: getattr(self, name) for name in OPTIONS[self.train]}


class Pairing(Frozen):
    """A weak supervisor, a strong student, and the models a bootstrap chain may pass through, smallest first."""

    weak: str
    strong: str
    intermediates: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name people meet, as in `minilm-0→minilm-4`."""
        return f"{self.weak}→{self.strong}"
