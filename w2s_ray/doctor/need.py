"""What a machine is asked about: plain data that also travels to the nodes of a cluster."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from w2s_ray.machine import OBJECT_STORE
from w2s_ray.spec import Sweep


@dataclass(frozen=True)
class Source:
    """A model or data set that a sweep names.

    Attributes:
        name: as the spec has it.
        revision: the commit, if one stands beside it.
        kind: what it is used as.
    """

    name: str
    revision: str | None
    kind: Literal["model", "data"]


@dataclass(frozen=True)
class Probe:
    """What the driver put into the store for others to find.

    Attributes:
        folder: in the store, or in what will hold it.
        word: the content of the driver's file.
    """

    folder: str
    word: str


@dataclass(frozen=True)
class Need:
    """What the sweeps want of one machine; empty where no spec was given.

    Attributes:
        name: of the machine among others, as a file name.
        probe: None where there is no store to look for, or the driver could not write it.
        sources: models and data that stages read, wherever they run.
        gpus: how many Ray counts on this node; None asks Ray.
        object_store: bytes of Ray's object store here.
        temp: the folder of Ray's logs and spilled objects.
    """

    name: str = "driver"
    probe: Probe | None = None
    sources: tuple[Source, ...] = ()
    gpus: float | None = None
    object_store: float = OBJECT_STORE
    temp: str | None = None


def sources_of(sweeps: Iterable[Sweep]) -> tuple[Source, ...]:
    """Returns every model and data set that the sweeps name, once."""
    found: dict[Source, None] = {}
    for sweep in sweeps:
        task = sweep.task
        for name in (task.source, task.test_source):
            if name is not None:
                found[Source(name, task.revision, "data")] = None
        for model in sweep.models.values():
            found[Source(model.source, model.revision, "model")] = None
    return tuple(found)
