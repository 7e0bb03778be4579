"""How stages are executed. Nothing here can change a number (to float tolerance), so nothing here enters an address."""

from pydantic import Field

from w2s_ray.spec.base import Frozen


class Resources(Frozen):
    """What one stage asks of Ray."""

    cpus: float = Field(default=1, gt=0, description="per worker")
    gpus: float = Field(default=0, ge=0, description="per worker; fractions share one")
    workers: int = Field(default=1, ge=1, description="data-parallel workers; each global batch is divided among them")
    micro_batch: int | None = Field(default=None, ge=1, description="examples per forward pass; null: the whole share")
    checkpoint_seconds: float = Field(default=60, gt=0, description="training time between two checkpoints")
    retries: int = Field(
        default=2, ge=0, description="tries after a failure; lost nodes and killed processes do not count"
    )


class ResourcePlan(Frozen):
    """Resources by default, for feature extraction, and for single models."""

    default: Resources = Resources()
    features: Resources = Resources(cpus=2)
    models: dict[str, Resources] = Field(default_factory=dict)
    store_patience: float = Field(
        default=60, ge=0, description="seconds that a full or missing store is waited for before the sweep stops"
    )

    def of(self, model: str) -> Resources:
        """Returns what finetuning `model` (its name in the sweep) asks for."""
        return self.models.get(model, self.default)
