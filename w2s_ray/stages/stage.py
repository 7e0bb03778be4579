"""A stage is named by its content: what it is, what it reads, and every setting that could change a number.

`Settings` are that identity; `Execution` says where the bytes lie and what Ray may use, and never enters the address.
Everything trained is one kind, `Finetune`: the weak supervisor, the ceiling, the student and each step of a bootstrap
chain differ only in model, labels, half of the data, and loss. What is done to labels on the way is `Relabel`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.labels import partly_true
from w2s_ray.spec.base import Frozen
from w2s_ray.spec.base import replace as changed
from w2s_ray.spec.model import Train
from w2s_ray.spec.resources import Resources
from w2s_ray.spec.task import Columns, Difficulty, Splits
from w2s_ray.spec.training import Loss, Training
from w2s_ray.stages.fingerprint import address_of, encode
from w2s_ray.stages.operations import Operation, reads_truth


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
    classes: tuple[str, ...] | int | None = Field(default=None, json_schema_extra={"since_default": True})
    balance: bool = Field(default=True, json_schema_extra={"since_default": True})
    difficulty: Difficulty | None = Field(default=None, json_schema_extra={"since_default": True})
    seed: int


class ModelIdentity(Frozen):
    """Which network: the pretrained bytes and how much of them is used."""

    weights: str  # asset name and sha256, hub id and revision, or sha256 over a folder's files
    depth: int | None
    pooling: Literal["mean", "last"]
    max_length: int


class ExtractFeatures(Settings):
    """Pooled frozen states of every example's text at one depth.

    Inputs: `examples`; `weights` (Finetune), which stand in for the pretrained ones.
    """

    kind = "features"
    version = 1
    model: ModelIdentity
    precision: Literal["float32", "bfloat16"] = "float32"


class Finetune(Settings):
    """Trains one model.

    Inputs: `examples`; `features` where frozen ones are read; `labels` (Finetune, Relabel) unless ground truth; `texts`
    (Hint), which stand in for those of the examples where more than features is read. The settings from `top_layers` on
    belong to some ways to `train`; see `w2s_ray.spec.model.OPTIONS`.
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
    features: int | None = Field(default=None, json_schema_extra={"since_default": True})  # the first so many columns


class Hint(Settings):
    """Appends the hardened weak label to each text (appendix E.3), as examples. Inputs: `examples`, `labels`."""

    kind = "hint"
    version = 1


class Prompt(Settings):
    """Asks a decoder and trains nothing. Inputs: `examples`; `labels`, the weak supervisor, if there are shots."""

    kind = "prompt"
    version = 1
    model: ModelIdentity
    template: str  # empty: the default for the number of classes
    shots: int
    shot_labels: Literal["weak", "truth"]
    seed: int  # of the shots; 0 without


class Relabel(Settings):
    """One operation on labels. Inputs: `examples`, and what the operation names; `labels` is Finetune or Relabel."""

    kind = "labels"
    version = 1
    operation: Operation


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
        """`examples`, `features`, `labels`, `hint`, `prompt` or `finetune`."""
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

    def with_workers(self, count: int) -> "Stage":
        """Returns it as so many workers make it: the same stage, since between them they divide the same batches."""
        resources = changed(self.execution.resources, workers=count)
        return replace(self, execution=replace(self.execution, resources=resources))

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


def knows_truth(stage: Stage) -> bool:
    """Whether ground truth of the student's half had a part in `stage`: as labels, or through a model that saw it."""
    return any(_reads_truth(one) for one in walk(stage))


def origin_of(stage: Stage) -> str:
    """Returns the origin of the labels that `stage` made, as `Labels` carries it."""
    return partly_true(stage.address) if knows_truth(stage) else stage.address


def _reads_truth(stage: Stage) -> bool:
    settings = stage.settings
    if isinstance(settings, Relabel):
        return reads_truth(settings.operation)
    return isinstance(settings, Finetune) and settings.half == "student" and "labels" not in stage.inputs
