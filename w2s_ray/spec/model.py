"""A pretrained model cut to a depth, and the fixed settings of its baseline.

A model cut after layer k, with a head on pooled states, is a smaller pretrained model; so one download gives a ladder.
So does a head on the first k features of one depth: models each of which holds the smaller ones whole (appendix E.1).
The baseline hyper-parameters belong to the model: weak supervisor and ceiling are trained with them in every trial, or
the search would learn to ruin the ceiling.
"""

from typing import Literal

from pydantic import Field, model_validator

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.training import Training


class Model(Frozen):
    """An asset's name, a folder's path, or a hub id with its revision; how deep; how trained."""

    source: str = Field(min_length=1, description="minilm, smollm2-135m, a folder's path, or a hub model id")
    revision: str | None = Field(default=None, description="commit of the hub model; required for a hub id")
    depth: int | None = Field(default=None, ge=0, description="layers kept; 0 keeps the embeddings, null keeps all")
    pooling: Literal["mean", "last"] = Field(default="mean", description="over the tokens the attention mask allows")
    max_length: int = Field(default=128, ge=4, description="tokens kept of a text")
    train: Literal["head", "full"] = Field(default="head", description="a head on frozen features, or all weights")
    features: int | None = Field(
        default=None,
        ge=1,
        description="only the first columns of the frozen features; null takes all. For train: head",
        json_schema_extra={"since_default": True},
    )
    baseline: Training = Training()

    @model_validator(mode="after")
    def _features_are_frozen(self) -> "Model":
        if self.features is not None and self.train != "head":
            raise ValueError("features cuts frozen features, so it needs train: head; remove one of them")
        return self


class Pairing(Frozen):
    """A weak supervisor, a strong student, and the models a bootstrap chain may pass through, smallest first."""

    weak: str
    strong: str
    intermediates: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name people meet, as in `minilm-0→minilm-4`."""
        return f"{self.weak}→{self.strong}"
