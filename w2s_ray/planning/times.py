"""How long a stage takes on a node: as the like did that the store holds, else by its FLOPs.

Measured seconds are those of stages of the same kind and way to train, of the same model if there are any, times the
ratio of FLOPs, divided by the node's `speed`. A stage that asks for a GPU is measured only by those whose process saw
one. Where nothing alike was measured it takes FLOPs / (utilization x peak of what it asks for) and `stage_seconds`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from w2s_ray.planning.flops import flops_of
from w2s_ray.spec import Sweep
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.stages.record import StageRecord
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Stage


class UnknownTimeError(ValueError):
    """A stage was never measured, and its model's size is not known either."""


@dataclass(frozen=True)
class Measured:
    """One stage that the store holds, or the stages that were made in one go: the largest of them and its record."""

    stage: Stage
    record: StageRecord

    @property
    def seconds(self) -> float:
        """What it took."""
        return float(self.record.seconds["stage"])

    @property
    def had_gpu(self) -> bool:
        """Whether its process looked at a GPU while it ran."""
        return any(name.startswith("gpu_") for look in self.record.usage for name in look)


class Times:
    """Tells the seconds of a stage on a node.

    Args:
        sweep: whose stages these are.
        cluster: says what is not measured.
        measured: the sweep's stages in the store.
    """

    def __init__(self, sweep: Sweep, cluster: Cluster, measured: Iterable[Measured]) -> None:
        self._sweep, self._cluster = sweep, cluster
        self._alike: Mapping[tuple[object, ...], list[Measured]] = defaultdict(list)
        for one in measured:
            for likeness in _likenesses(one.stage):
                self._alike[likeness].append(one)

    def is_measured(self, stage: Stage) -> bool:
        """Whether the store holds something alike."""
        return bool(self._like(stage))

    def seconds_on(self, stage: Stage, node: NodeType) -> float:
        """Returns the seconds of one run without loss, in a warm process.

        Raises:
            UnknownTimeError: nothing tells.
        """
        flops, like = self._flops(stage), self._like(stage)
        if like:
            mean = sum(one.seconds for one in like) / len(like)
            usual = [self._flops(one.stage) for one in like]
            known = [one for one in usual if one]
            ratio = flops * len(known) / sum(known) if flops and known else 1.0
            return mean * ratio / node.speed
        if flops is None:
            raise UnknownTimeError(
                f"how large {stage.execution.source} is is not known before it is here, and nothing tells how long "
                f"{stage.execution.label} takes; download it, or run one trial first"
            )
        resources = stage.execution.resources
        peak = 1e12 * resources.workers * _tflops(stage, node)
        group = self._cluster.group_seconds if resources.workers > 1 else 0.0
        return flops / (self._cluster.utilization * peak) + self._cluster.stage_seconds + group

    def _flops(self, stage: Stage) -> float | None:
        return flops_of(stage, self._sweep, self._cluster.tokens_per_example)

    def _like(self, stage: Stage) -> list[Measured]:
        on_gpu = bool(stage.execution.resources.gpus)
        for likeness in _likenesses(stage):
            found = [one for one in self._alike.get(likeness, ()) if one.had_gpu == on_gpu]
            if found:
                return found
        return []


def _likenesses(stage: Stage) -> list[tuple[object, ...]]:
    """What makes stages alike, closest first."""
    settings = stage.settings
    if isinstance(settings, Finetune):
        return [(stage.kind, settings.train, settings.model), (stage.kind, settings.train)]
    if isinstance(settings, ExtractFeatures):
        return [(stage.kind, settings.model), (stage.kind,)]
    return [(stage.kind,)]


def _tflops(stage: Stage, node: NodeType) -> float:
    resources = stage.execution.resources
    if resources.gpus:
        return resources.gpus * (node.tflops_per_gpu or 0.0)
    return resources.cpus * node.tflops_per_cpu
