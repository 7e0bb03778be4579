"""Which stages get a GPU where the spec leaves it open: those that run a large network, where some node has one free.

A head on stored features, labels and examples stay on a CPU, and so does all that would find no place with a GPU: what
is decided here never makes a stage wait for a node that cannot come. What the spec says is left alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from w2s_ray.assets import dimensions_of
from w2s_ray.spec import Resources
from w2s_ray.spec import replace as changed
from w2s_ray.spec.model import FROZEN
from w2s_ray.spec.resources import NodeKinds, places_on
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Prompt, Stage

LARGE = 20_000_000
"""Parameters from which on a GPU is worth its while: below, one CPU does a batch in little more than the way there."""


def with_gpus(stage: Stage, kinds: NodeKinds) -> Stage:
    """Returns a stage whose resources say how many GPUs a worker gets on a cluster of these kinds of nodes."""
    execution = stage.execution
    if execution.resources.gpus is not None:
        return stage
    depths = _depths_run(stage)
    is_for_gpu = bool(depths) and is_large(execution.source, execution.revision, depths)
    return replace(stage, execution=replace(execution, resources=decided(execution.resources, is_for_gpu, kinds)))


def decided(resources: Resources, is_for_gpu: bool, kinds: NodeKinds) -> Resources:
    """Returns resources that say how many GPUs: as they were, or 1 for what is for one and finds a place with it."""
    if resources.gpus is not None:
        return resources
    return changed(resources, gpus=1.0 if is_for_gpu and _has_room(resources, kinds) else 0.0)


def _has_room(resources: Resources, kinds: NodeKinds) -> bool:
    """Whether the workers that a stage cannot do without find a place each with a GPU, when nothing else runs."""
    demand = {**resources.demand, "GPU": 1.0}
    return places_on(kinds, demand) >= resources.fewest


def is_large(source: str, revision: str | None, depths: Iterable[int | None]) -> bool:
    """Whether a model at the deepest of these has `LARGE` parameters; one of unknown size is taken to."""
    size = dimensions_of(source, revision)
    return size is None or max(size.parameters_at(depth) for depth in depths) >= LARGE


def _depths_run(stage: Stage) -> Sequence[int | None]:
    """The depths at which a stage runs its model; none if it runs no network, or reads what one has made of a text."""
    settings = stage.settings
    if isinstance(settings, ExtractFeatures):
        return stage.execution.depths or (settings.model.depth,)
    if isinstance(settings, Finetune) and settings.train in FROZEN:
        return ()
    return (settings.model.depth,) if isinstance(settings, Finetune | Prompt) else ()
