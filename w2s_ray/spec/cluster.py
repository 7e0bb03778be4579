"""The cluster that a sweep is planned on: which nodes there may be, and what is known of their time and price.

Nothing of it is executed: `w2s plan SPEC --cluster FILE` reads it, and a sweep runs on whatever Ray has. Where a figure
is not given, the default is stated here, so that every number of a plan can be traced to a line of a file or of this
one.
"""

from pydantic import Field, model_validator

from w2s_ray.spec.base import Frozen


class NodeType(Frozen):
    """One kind of machine."""

    cpus: float = Field(default=0, ge=0, description="that stages may use; 0 for a head that runs the driver alone")
    gpus: float = Field(default=0, ge=0, description="that stages may use")
    memory: float | None = Field(default=None, gt=0, description="GB; null: unknown, so never what is short")
    accelerator: str | None = Field(default=None, description="type of its GPUs, as Ray names it")
    custom: dict[str, float] = Field(default_factory=dict, description="custom resources by name")
    min: int = Field(default=0, ge=0, description="nodes that are always there")
    max: int = Field(default=1, ge=1, description="nodes that the autoscaler may have at one time")
    price: float = Field(default=0, ge=0, description="of a node for an hour, in whatever currency")
    preemptions_per_hour: float = Field(default=0, ge=0, description="how often a node is taken away; 0: on demand")
    speed: float = Field(default=1, gt=0, description="relative to the machine that measured the store's stages")
    tflops_per_cpu: float = Field(default=0.2, gt=0, description="peak of one CPU, for stages that nothing measured")
    tflops_per_gpu: float | None = Field(
        default=None, gt=0, description="peak of one GPU at the stages' precision; required with gpus"
    )

    @model_validator(mode="after")
    def _fields_fit_together(self) -> "NodeType":
        if self.min > self.max:
            raise ValueError(f"min must not be above max, got min {self.min} and max {self.max}")
        if self.gpus and self.tflops_per_gpu is None:
            raise ValueError("tflops_per_gpu is required where there are gpus, such as 312 for an A100 in bfloat16")
        return self

    @property
    def capacity(self) -> dict[str, float]:
        """What a node offers, by Ray's names; memory in bytes, if it is known."""
        held = {"CPU": self.cpus, "GPU": self.gpus, **self.custom}
        if self.accelerator:
            held[f"accelerator_type:{self.accelerator}"] = 1.0
        return held if self.memory is None else {**held, "memory": self.memory * 1e9}


class Cluster(Frozen):
    """An autoscaling cluster; a fixed one has `min` equal to `max`."""

    nodes: dict[str, NodeType] = Field(min_length=1, description="name to kind of machine")
    startup_seconds: float = Field(default=120, ge=0, description="from asking for a node until Ray runs on it")
    idle_seconds: float = Field(default=300, ge=0, description="idle time after which a node above `min` is let go")
    utilization: float = Field(default=0.4, gt=0, le=1, description="share of a device's peak that trainings reach")
    tokens_per_example: float | None = Field(default=None, gt=0, description="mean; null: each model's max_length")
    stage_seconds: float = Field(default=1, ge=0, description="of a stage besides its FLOPs, where none was measured")
    process_seconds: float = Field(default=7, ge=0, description="of a new worker process before its first stage")
    trial_seconds: float = Field(default=0.25, ge=0, description="of the driver for each trial, one after the other")
    seed: int = Field(default=0, ge=0, description="of the preemptions")
