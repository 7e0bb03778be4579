"""How large the models of a sweep are, for axes: parameters where the store can tell, else their order by depth.

The store holds all weights of a model that was trained in full, and its parameter count is read from the header of that
file. Of a model with frozen features it holds the head alone, so those sweeps, and mixed ones, get the order in which
the models are cut: by source as the spec names them, then by depth. One scale for all models, never a mixture.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from safetensors import safe_open

from w2s_ray.search.record import COMPLETE, SweepRecord
from w2s_ray.stages.artifacts import WEIGHTS
from w2s_ray.stages.store import Store


@dataclass(frozen=True)
class Sizes:
    """The size of each model, in the units of `label`; `is_count` is False for a mere order."""

    of: Mapping[str, float]
    is_count: bool

    @property
    def label(self) -> str:
        """What an axis says."""
        return "parameters (log scale)" if self.is_count else "in order of depth"


def sizes_of(record: SweepRecord) -> Sizes:
    """Returns the sizes of all models that take part in a pairing."""
    names = {name for pairing in record.sweep.pairings for name in (pairing.weak, pairing.strong)}
    counts = {name: _parameters(record, name) for name in names}
    known = {name: float(count) for name, count in counts.items() if count}
    if len(known) == len(names):
        return Sizes(known, is_count=True)
    return Sizes(_order(record, names), is_count=False)


def _order(record: SweepRecord, names: set[str]) -> dict[str, float]:
    models = record.sweep.models
    sources = list(dict.fromkeys(model.source for model in models.values()))

    def key(name: str) -> tuple[int, float]:
        depth = models[name].depth
        return sources.index(models[name].source), math.inf if depth is None else depth

    return {name: float(place) for place, name in enumerate(sorted((n for n in models if n in names), key=key))}


def _parameters(record: SweepRecord, name: str) -> int | None:
    if record.sweep.models[name].train != "full":
        return None
    for trial in record.trials:
        if trial.state == COMPLETE:
            roles = [role for role, model in (("weak", trial.weak), ("ceiling", trial.strong)) if model == name]
            for address in (address for role in roles for address in trial.stages[role]):
                if count := count_parameters(record.store, address):
                    return count
    return None


def count_parameters(store: Store, address: str) -> int | None:
    """Returns the number of weights in a stage's file, from its header alone; None where `w2s gc` removed it."""
    stage = store.read(address)
    if stage is None or WEIGHTS not in stage.record.files:
        return None
    # Not through `stage.file`, which would read gigabytes to check a sum.
    with safe_open(stage.path / WEIGHTS, "numpy") as tensors:
        shapes: list[list[int]] = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118
    return sum(map(math.prod, shapes))
