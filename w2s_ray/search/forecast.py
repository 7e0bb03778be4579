"""What the stages that are still to run will cost: CPU time and disk.

Time is measured by the stages of the same kind that the store holds; without any it is unknown. Disk follows from the
sizes of models and splits, to some tens of per cent: what a stage writes is float32, and a checkpoint holds weights and
two moments of each.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from w2s_ray.assets import dimensions_of
from w2s_ray.spec import Sweep
from w2s_ray.spec.model import AT_ONCE, FROZEN
from w2s_ray.stages.record import StageRecord
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Hint, LoadExamples, Stage

_FLOAT = 4  # bytes
_TEXT, _PREDICTION = 250, 60  # bytes of a row of examples (a few sentences) and of predictions
_STAGE = 6000  # bytes of record, curve and file headers
_MOMENTS = 3  # times the weights that are trained: these and two moments
_ADAPTED = 23  # widths that the linear maps of a layer take in and give out: four of attention, three of a gated MLP


def seconds_of(to_run: Sequence[Stage], measured_by: Iterable[StageRecord]) -> float | None:
    """Returns the CPU time of the stages `to_run`; None where none of a kind is among `measured_by`."""
    measured: dict[str, list[float]] = defaultdict(list)
    for record in measured_by:
        measured[record.kind].append(record.seconds["stage"])
    if any(stage.kind not in measured for stage in to_run):
        return None
    return sum(sum(measured[stage.kind]) / len(measured[stage.kind]) for stage in to_run)


def bytes_of(to_run: Sequence[Stage], sweep: Sweep) -> int | None:
    """Returns the disk that the stages `to_run` take, with the checkpoints of those that train at one time.

    None where the size of a model is not known before it is downloaded.
    """
    sizes = [_size(stage, rows_of(sweep)) for stage in to_run]
    if any(size is None for size in sizes):
        return None
    checkpoints = sorted(map(_checkpoint, to_run), reverse=True)
    at_one_time = checkpoints[: sweep.search.parallelism * len(sweep.seeds)]
    return sum(size or 0 for size in sizes) + sum(at_one_time)


def free_bytes(root: Path) -> int:
    """Returns the free space on the disk where the store is or will be."""
    return shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free


def rows_of(sweep: Sweep) -> int:
    """Returns the examples of all splits; a test split of all the rest counts as many as the student's half."""
    splits = sweep.task.splits
    return splits.weak + splits.student + splits.validation + (splits.test or splits.student)


def _size(stage: Stage, rows: int) -> int | None:
    if isinstance(stage.settings, LoadExamples | Hint):
        return _STAGE + rows * _TEXT
    if isinstance(stage.settings, ExtractFeatures):
        dimensions = dimensions_of(stage.execution.source, stage.execution.revision)
        return None if dimensions is None else _STAGE + rows * dimensions.width * _FLOAT
    weights = _weights(stage, rows)
    return None if weights is None else _STAGE + rows * _PREDICTION + weights


def _weights(stage: Stage, rows: int) -> int | None:
    """Returns the bytes of what a finetuned model stores of itself; 0 for other stages."""
    settings = stage.settings
    if not isinstance(settings, Finetune):
        return 0
    dimensions = dimensions_of(stage.execution.source, stage.execution.revision)
    if dimensions is None:
        return None
    if settings.train == "knn":
        return _FLOAT * rows * (settings.features or dimensions.width)
    if settings.train in FROZEN:
        return _FLOAT * 4 * dimensions.width
    if settings.train == "lora":
        return _FLOAT * settings.lora_rank * _ADAPTED * dimensions.width * dimensions.layers_at(settings.model.depth)
    return _FLOAT * dimensions.parameters_at(settings.model.depth)


def _checkpoint(stage: Stage) -> int:
    """Returns the bytes of a training's checkpoint; that of an adapter holds the frozen network too."""
    settings = stage.settings
    if not isinstance(settings, Finetune) or settings.train in AT_ONCE:
        return 0
    own = _MOMENTS * (_weights(stage, 0) or 0)
    whole = dimensions_of(stage.execution.source, stage.execution.revision) if settings.train == "lora" else None
    return own + _FLOAT * whole.parameters_at(settings.model.depth) if whole else own
