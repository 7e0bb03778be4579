"""A stage is named by its content: what it is, what it reads, and every setting that could change a number.

`Settings` are that identity; `Execution` says where the bytes lie and what Ray may use, and never enters the address.
There are three kinds. Everything trained is one of them, `Finetune`: the weak supervisor, the ceiling, the student and
each step of a bootstrap chain differ only in model, labels, half of the data, and loss.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.model import Train
from w2s_ray.spec.resources import Resources
from w2s_ray.spec.task import Columns, Splits
from w2s_ray.spec.training import Loss, Training
from w2s_ray.stages.fingerprint import address_of, encode


class Settings(Frozen):
    """The identity of one kind of stage; `version` counts the changes of its code that change numbers."""

    kind: ClassVar[str]
    version: ClassVar[int]


class LoadExamples(Settings):
    """Reads a task, cleans it and splits it."""

    kind = "examples"
    version = 1
    source: str  # what the bytes are: asset name and sha256, sha256 of a file, or hub id and revision
    test_source: str | None
    columns: Columns
    splits: Splits
    seed: int


class ModelIdentity(Frozen):
    """Which network: the pretrained bytes and how much of them is used."""

    weights: str  # asset name and sha256, hub id and revision, or sha256 over a folder's files
    depth: int | None
    pooling: Literal["mean", "last"]
    max_length: int


class ExtractFeatures(Settings):
    """Pooled frozen states of every example's text at one depth. Inputs: `examples`."""

    kind = "features"
    version = 1
    model: ModelIdentity
    precision: Literal["float32", "bfloat16"] = "float32"


class Finetune(Settings):
    """Trains one model.

    Inputs: `examples`; `features` where frozen ones are read; `labels`, a Finetune stage, unless ground truth. The
    settings from `top_layers` on belong to one way to `train` each; see `w2s_ray.spec.model.OPTIONS`.
    """

    kind = "finetune"
    version = 1
    model: ModelIdentity
    train: Train
    half: Literal["weak", "student"]
    loss: Loss
    training: Training
    seed: int
    top_layers: int = Field(default=1, json_schema_extra={"since_default": True})
    lora_rank: int = Field(default=8, json_schema_extra={"since_default": True})
    lora_alpha: float = Field(default=16.0, json_schema_extra={"since_default": True})
    l2: float = Field(default=1e-3, json_schema_extra={"since_default": True})
    neighbours: int = Field(default=50, json_schema_extra={"since_default": True})
    metric: Literal["cosine", "euclidean"] = Field(default="cosine", json_schema_extra={"since_default": True})


@dataclass(frozen=True)
class Execution:
    """Where the bytes are and what the stage may use."""

    source: str = ""  # of the data (examples) or the model (features, finetune), as the spec names it
    revision: str | None = None
    test_source: str | None = None
    resources: Resources = field(default_factory=Resources)
    label: str = ""  # what people read in progress and logs, as in "weak minilm-0 seed 1"
    depths: tuple[int | None, ...] = ()  # features: what else of the same model is wanted from one pass
    private: bool = False  # serves one trial alone, so it is cancelled when that trial is pruned


@dataclass(frozen=True)
class Stage:
    """A node of the stage graph. Equal if and only if the addresses are."""

    settings: Settings
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)

    @property
    def kind(self) -> str:
        """`examples`, `features` or `finetune`."""
        return self.settings.kind

    @cached_property
    def address(self) -> str:
        """32 hex digits over kind, version, settings and the inputs' addresses."""
        return address_of(self.identity())

    def identity(self) -> dict[str, object]:
        """Returns what the address is made of, as plain data."""
        return {
            "kind": self.kind,
            "version": self.settings.version,
            "inputs": {role: stage.address for role, stage in self.inputs.items()},
            "settings": encode(self.settings),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)


def walk(*stages: Stage) -> Iterator[Stage]:
    """Yields every distinct stage of the graphs below `stages`, inputs before what reads them."""
    seen: set[str] = set()

    def visit(stage: Stage) -> Iterator[Stage]:
        if stage.address in seen:
            return
        seen.add(stage.address)
        for needed in stage.inputs.values():
            yield from visit(needed)
        yield stage

    for stage in stages:
        yield from visit(stage)
