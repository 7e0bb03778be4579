"""The cluster that a sweep is planned on: which nodes there may be, and what is known of their time and price.

Nothing of it is executed: `w2s plan SPEC --cluster FILE` reads it, and a sweep runs on whatever Ray has. Where a figure
is not given, the default is stated here, so that every number of a plan can be traced to a line of a file or of this
one. docs/planning.md has the formulas.
"""

from pydantic import Field, field_validator, model_validator

from w2s_ray.spec.base import Frozen, replace
from w2s_ray.spec.resources import Custom, custom_resources, of_accelerator

_FOR_STAGES = 0.7  # of a node's memory; Ray keeps the rest for objects


class NodeType(Frozen):
    """One kind of machine."""

    cpus: float = Field(default=0, ge=0, description="that stages may use; 0 for a head that runs the driver alone")
    gpus: float = Field(default=0, ge=0, description="that stages may use")
    accelerator: str | None = Field(default=None, description="type of its GPUs, as Ray names it")
    custom: Custom = Field(default_factory=dict, description="custom Ray resources, such as {cheap: 1}")
    memory: float | None = Field(default=None, gt=0, description="GB; null: unknown, so it is taken for enough")
    gpu_memory: float | None = Field(default=None, gt=0, description="GB of one GPU; null: unknown")
    min: int = Field(default=0, ge=0, description="nodes that are always there")
    max: int = Field(default=1, ge=1, description="nodes that the autoscaler may have at one time")
    price: float = Field(default=0, ge=0, description="of a node for an hour, in the cluster's currency")
    priority: int = Field(default=0, description="which the autoscaler takes first of types that work fills alike")
    startup_minutes: float = Field(default=3, ge=0, description="from asking for a node until Ray runs on it")
    preemptions_per_hour: float = Field(default=0, ge=0, description="how often a node is taken away; 0: on demand")
    speed: float = Field(default=1, gt=0, description="relative to the machine that measured the store's stages")
    tflops_per_cpu: float = Field(default=0.2, gt=0, description="peak of one CPU, for stages that nothing measured")
    tflops_per_gpu: float | None = Field(
        default=None, gt=0, description="peak of one GPU at the stages' precision; required with gpus"
    )

    @field_validator("custom")
    @classmethod
    def _are_custom(cls, custom: Custom) -> Custom:
        return custom_resources(custom)

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "NodeType":
        if self.min > self.max:
            raise ValueError(f"min must not be above max, got min {self.min} and max {self.max}")
        if self.gpus and self.tflops_per_gpu is None:
            raise ValueError("tflops_per_gpu is required where there are gpus, such as 19.5 for an A100 in float32")
        return self

    @property
    def capacity(self) -> dict[str, float]:
        """What a node offers, by Ray's names."""
        memory = float("inf") if self.memory is None else 1e9 * _FOR_STAGES * self.memory
        kind = of_accelerator(self.accelerator) if self.accelerator else {}
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": memory, **kind, **self.custom}

    @property
    def works(self) -> bool:
        """Whether a stage could run on it; a head for the driver alone has neither CPUs nor GPUs."""
        return self.cpus > 0 or self.gpus > 0


class Cluster(Frozen):
    """An autoscaling cluster; a fixed one has `min` equal to `max`."""

    nodes: dict[str, NodeType] = Field(min_length=1, description="name to kind of machine")
    currency: str = Field(default="USD", description="of the prices")
    idle_minutes: float = Field(default=5, ge=0, description="idle time after which a node above `min` is let go")
    utilization: float = Field(default=0.4, gt=0, le=1, description="share of a device's peak that stages reach")
    tokens_per_example: float | None = Field(default=None, gt=0, description="mean; null: each model's max_length")
    stage_seconds: float = Field(default=1, ge=0, description="of a stage besides its FLOPs, where none was measured")
    process_seconds: float = Field(default=7, ge=0, description="of a new worker process before its first stage")
    group_seconds: float = Field(
        default=20, ge=0, description="until several workers have found each other, where no stage was measured"
    )
    driver_seconds: float = Field(default=15, ge=0, description="of the driver before its first trial")
    trial_seconds: float = Field(default=0.25, ge=0, description="of the driver for each trial, one after the other")
    seed: int = Field(default=0, ge=0, description="of the preemptions")

    @model_validator(mode="after")
    def _something_works(self) -> "Cluster":
        if not any(node.works for node in self.nodes.values()):
            raise ValueError("no node type has cpus or gpus, so no stage could run; give one cpus")
        return self

    @property
    def kinds(self) -> list[tuple[dict[str, float], int]]:
        """What a node of each type offers, and how many there may be."""
        return [(node.capacity, node.max) for node in self.nodes.values()]

    @property
    def unpriced(self) -> list[str]:
        """The types whose price the file does not give; one that is free says `price: 0`."""
        return [kind for kind, node in self.nodes.items() if "price" not in node.model_fields_set]

    def times(self, factor: float) -> "Cluster":
        """Returns the cluster with so many times the nodes, at least one of each type; a head stays one."""

        def scaled(node: NodeType) -> NodeType:
            at_least = max(1, round(node.min * factor)) if node.min else 0
            return replace(node, min=at_least, max=max(1, at_least, round(node.max * factor)))

        return replace(self, nodes={kind: scaled(node) if node.works else node for kind, node in self.nodes.items()})
