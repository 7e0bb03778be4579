"""The hyper-parameters of one finetuning, as the weak supervisor, the ceiling and every student use them.

All of them can change a number, so all of them are part of a stage's identity. How the same training is *executed*
(workers, micro-batch, device) is `w2s_ray.spec.resources`.
"""

from typing import Literal

from pydantic import Field

from w2s_ray.spec.base import Frozen


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


class Loss(Frozen):
    """Cross entropy, or with alpha > 0 the confidence loss of Burns et al. (arXiv 2312.09390, section 4.3.2, A.4)."""

    alpha: float = Field(default=0.0, ge=0, le=1, description="largest weight of the student's own hardened prediction")
    alpha_warmup: float = Field(
        default=0.2, ge=0, le=1, description="fraction of training over which alpha rises linearly from 0"
    )
