"""How stages are executed. Nothing here can change a number (to float tolerance), so nothing here enters an address."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from w2s_ray.spec.base import Frozen

_OWN = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}
"""Ray's names of what has a field of its own."""
_ACCELERATOR = "accelerator_type:"  # as Ray names the resource; a node of the type has 1 of it, however many GPUs
_OF_A_TYPE = 0.001  # what Ray itself takes of it

Custom = dict[str, Annotated[float, Field(gt=0)]]
"""Custom Ray resources: name to amount."""

NodeKinds = Sequence[tuple[Mapping[str, float], int]]
"""What nodes of a kind have, by Ray's names, and how many there are or may be."""


class Resources(Frozen):
    """What one stage asks of Ray."""

    cpus: float = Field(default=1, gt=0, description="per worker")
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="per worker; fractions share one; null: 1 for what runs a model of 20 million parameters or more, "
        "where a node has one, else 0",
    )
    accelerator: str | None = Field(default=None, description="accelerator type as Ray names it, such as A100")
    memory: float | None = Field(default=None, gt=0, description="GB per worker that Ray reserves; null: none reserved")
    custom: Custom = Field(default_factory=dict, description="custom Ray resources per worker, such as {cheap: 0.01}")
    workers: int = Field(default=1, ge=1, description="data-parallel workers; each global batch is divided among them")
    min_workers: int | None = Field(
        default=None, ge=1, description="fewest that are enough while more find no place; null: all of them"
    )
    micro_batch: int | None = Field(default=None, ge=1, description="examples per forward pass; null: the whole share")
    checkpoint_seconds: float = Field(default=60, gt=0, description="training time between two checkpoints")
    retries: int = Field(
        default=2, ge=0, description="tries after a failure; lost nodes and killed processes do not count"
    )

    @field_validator("custom")
    @classmethod
    def _are_custom(cls, custom: Custom) -> Custom:
        return custom_resources(custom)

    @model_validator(mode="after")
    def _has_no_more_than_all(self) -> "Resources":
        if self.fewest > self.workers:
            raise ValueError(f"min_workers must not be above workers, got {self.fewest} and {self.workers}")
        return self

    def __hash__(self) -> int:  # of all but `custom`, which has none
        return hash((self.cpus, self.gpus, self.accelerator, self.memory, self.workers, self.fewest))

    @property
    def fewest(self) -> int:
        """How many workers a training waits for, however long that takes; it may be elastic above them."""
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def is_elastic(self) -> bool:
        """Whether fewer workers than it asks for would do."""
        return self.fewest < self.workers

    @property
    def demand(self) -> dict[str, float]:
        """What each worker takes of a node, by Ray's names; memory in bytes, no GPU while that is open."""
        asked = {"CPU": self.cpus, "GPU": self.gpus or 0, "memory": round(1e9 * (self.memory or 0)), **self.custom}
        if self.accelerator:
            asked |= of_accelerator(self.accelerator, _OF_A_TYPE)
        return {name: amount for name, amount in asked.items() if amount}


def custom_resources(custom: Custom) -> Custom:
    """Returns `custom` as it is.

    Raises:
        ValueError: one of them has a field of its own, or a form that Ray refuses.
    """
    for name, amount in custom.items():
        field = _OWN.get(name, "accelerator" if name.startswith(_ACCELERATOR) else None)
        if field:
            raise ValueError(f"{name} is no custom resource; write {field}: ... beside custom")
        if amount > 1 and amount != int(amount):
            raise ValueError(f"{name}: Ray takes whole amounts above 1, got {amount:g}")
    return custom


def of_accelerator(kind: str, amount: float = 1.0) -> dict[str, float]:
    """Returns the resource that Ray gives each node with accelerators of the type."""
    return {f"{_ACCELERATOR}{kind}": amount}


def places_in(capacity: Mapping[str, float], demand: Mapping[str, float]) -> int:
    """Returns how many that each take `demand` find a place in `capacity`; both by Ray's names."""
    least = min((capacity.get(name, 0) / amount for name, amount in demand.items() if amount), default=1.0)
    return int(least + 1e-9)  # 1 / 0.1 is below 10


def places_on(kinds: NodeKinds, demand: Mapping[str, float]) -> int:
    """Returns how many that each take `demand` find a place on all nodes of these kinds."""
    return sum(count * places_in(has, demand) for has, count in kinds)


def in_words(demand: Mapping[str, float]) -> str:
    """Returns resources by Ray's names as people read them: `8 CPU and 1 GPU`."""
    return " and ".join(amount_in_words(name, amount) for name, amount in demand.items() if amount)


def amount_in_words(name: str, amount: float) -> str:
    """Returns one of them; of an accelerator type that alone, since its amount means nothing."""
    if name.startswith(_ACCELERATOR):
        kind = name.removeprefix(_ACCELERATOR)
        return f"accelerator {kind}" if amount else f"no accelerator {kind}"
    return f"{amount / 1e9:g} GB memory" if name == "memory" else f"{amount:g} {name}"


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
