"""The hyper-parameters of one finetuning, as the weak supervisor, the ceiling and every student use them.

All of them can change a number, so all of them are part of a stage's identity. How the same training is *executed*
(workers, micro-batch, device) is `w2s_ray.spec.resources`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from w2s_ray.spec.base import Frozen

LossName = Literal[
    "confidence",
    "cross-entropy",
    "log-confidence",
    "product",
    "window",
    "entropy",
    "kl",
    "reverse-kl",
    "reverse-cross-entropy",
    "generalised-cross-entropy",
]

LOSSES: Mapping[LossName, Mapping[str, float | int | str]] = {
    "cross-entropy": {},
    "confidence": {"alpha": 0.5, "alpha_warmup": 0.2, "threshold_buffer": 0},
    "log-confidence": {"alpha": 0.5, "alpha_warmup": 0.1},
    "product": {"alpha": 1.0, "alpha_warmup": 0.2},
    "entropy": {"alpha": 0.5, "alpha_warmup": 0.2},
    "window": {"radius": "midweak"},
    "kl": {},
    "reverse-kl": {},
    "reverse-cross-entropy": {},
    "generalised-cross-entropy": {"q": 0.7},
}
"""Each loss's own parameters and what they are by default; `smoothing` is of every loss. docs/methods.md explains."""


class Training(Frozen):
    """AdamW with a warm-up and a decaying learning rate."""

    lr: float = Field(default=1e-3, gt=0, le=1, description="peak learning rate")
    epochs: int = Field(default=2, ge=1, le=10_000, description="passes over the training half")
    batch_size: int = Field(default=32, ge=1, description="examples per optimizer step, over all workers")
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled weight decay of AdamW")
    schedule: Literal["linear", "cosine", "constant"] = Field(default="linear", description="decay to 0 after warm-up")
    lr_warmup: float = Field(default=0.0, ge=0, lt=1, description="fraction of the steps with a rising learning rate")
    clip: float = Field(default=1.0, ge=0, description="largest gradient norm; 0 turns clipping off")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16 is mixed precision: weights stay float32"
    )
    eval_every: int = Field(default=50, ge=1, description="optimizer steps between two validations")
    select: Literal["last", "weak", "truth"] = Field(
        default="last",
        description="weights that count: the last, or of the validation that agrees best with the labels learned from "
        "(weak), or with ground truth (truth: a cheat where labels are weak)",
        json_schema_extra={"since_default": True},
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of the moving average of the weights that predicts; 0 is none",
        json_schema_extra={"since_default": True},
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the pooled features that a training step leaves out",
        json_schema_extra={"since_default": True},
    )


class Loss(Frozen):
    """What a student minimises; by default cross entropy, or with alpha > 0 the paper's confidence loss.

    A parameter that the named loss does not use (see `LOSSES`) means nothing and enters no address.
    """

    alpha: float = Field(
        default=0.0, ge=0, le=1, description="largest weight of the student's own prediction; 0 is cross entropy"
    )
    alpha_warmup: float = Field(
        default=0.2, ge=0, le=1, description="fraction of training over which alpha rises linearly from 0"
    )
    name: LossName = Field(
        default="confidence",
        description="confidence at alpha 0 is cross entropy",
        json_schema_extra={"since_default": True},
    )
    threshold_buffer: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="predictions, this batch's and the last before it, that set the confidence loss's threshold",
        json_schema_extra={"since_default": True},
    )
    radius: Annotated[float, Field(gt=0, le=1)] | Literal["midweak"] = Field(
        default="midweak",
        description="window: largest distance of a prediction from even; midweak is the weak labels' median",
        json_schema_extra={"since_default": True},
    )
    q: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="generalised cross entropy: near 0 it is cross entropy, at 1 1 - f",
        json_schema_extra={"since_default": True},
    )
    smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of every label that is spread evenly",
        json_schema_extra={"since_default": True},
    )

    def normal(self) -> "Loss":
        """Returns the loss that computes the same with nothing set that does not matter: equal losses become equal."""
        used = LOSSES[self.name]
        if self.name == "cross-entropy" or ("alpha" in used and self.alpha == 0):
            return Loss(alpha=0, alpha_warmup=0, smoothing=self.smoothing)
        plain = {"alpha": 0.0, "alpha_warmup": 0.0}
        kept = {name: getattr(self, name) for name in (*used, "name", "smoothing")}
        return Loss.model_validate({**plain, **kept})
