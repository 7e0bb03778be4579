"""From a stored student to the network that is exported: head on the cut backbone, an adapter merged into it.

`w2s gc` may have removed the weights, never what they were trained on; then the student is trained again, from the
inputs in the store, in this process.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from w2s_ray.assets import locate
from w2s_ray.export.w2s_student import StudentConfig, StudentForSequenceClassification
from w2s_ray.machine import resources_here
from w2s_ray.models.load import final_norms, load_backbone
from w2s_ray.spec.model import FROZEN
from w2s_ray.stages.artifacts import WEIGHTS
from w2s_ray.stages.devices import with_gpus
from w2s_ray.stages.finetune import train_alone
from w2s_ray.stages.network import finetuned_network
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Stage
from w2s_ray.stages.store import Store


def trained_weights(stage: Stage, store: Store, say: Callable[[str], None]) -> dict[str, Tensor]:
    """Returns the weights of a stored student; trains it again if they were removed.

    Raises:
        MissingStageError: the student, or what it has to be trained on again, is not in the store.
    """
    stored = store.get(stage.address)
    if WEIGHTS not in stored.record.dropped:
        weights: dict[str, Tensor] = load_file(stored.file(WEIGHTS))
        return weights
    seconds = stored.record.seconds.get("loop", 0.0)
    say(f"`w2s gc` removed the weights of {stage.execution.label}; training it again, which took {seconds:.0f} s")
    try:
        return train_alone(stage, store, _device(with_gpus(stage, [(resources_here(), 1)]))).weights
    finally:
        store.drop_work(stage.address)  # its checkpoints; the stage is finished


def network_of(
    stage: Stage, weights: Mapping[str, Tensor], class_names: tuple[str, ...]
) -> StudentForSequenceClassification:
    """Returns the student with its weights in place, on the CPU and in eval mode."""
    settings = stage.settings
    assert isinstance(settings, Finetune)
    if settings.train in FROZEN:
        folder = locate(stage.execution.source, stage.execution.revision)
        backbone, head = load_backbone(folder, settings.model.depth), dict(weights)
    else:
        finetuned = finetuned_network(stage, weights, len(class_names))
        backbone, head = finetuned.backbone, finetuned.head.state_dict()
    network = StudentForSequenceClassification(_config(stage, settings, backbone, class_names, head))
    network.backbone.load_state_dict(backbone.state_dict())  # strict: the configuration must say what was trained
    network.head.load_state_dict(head)
    network.eval()
    return network


def _config(
    stage: Stage, settings: Finetune, backbone: nn.Module, class_names: tuple[str, ...], head: Mapping[str, Tensor]
) -> StudentConfig:
    inner: Any = backbone.config
    read = stage.inputs["features"].settings if settings.train in FROZEN else None
    precision = read.precision if isinstance(read, ExtractFeatures) else settings.training.precision
    return StudentConfig(
        pretrained={**inner.to_dict(), "use_cache": False},
        final_norm=not any(isinstance(norm, nn.Identity) for norm in final_norms(backbone)),
        pooling=settings.model.pooling,
        features=head["mean"].shape[0],
        max_tokens=settings.model.max_length,
        precision=precision,
        head_precision=settings.training.precision,
        id2label=dict(enumerate(class_names)),
        label2id={name: number for number, name in enumerate(class_names)},
    )


def _device(stage: Stage) -> str:
    torch.set_num_threads(max(1, int(stage.execution.resources.cpus)))  # as in the sweep: sums are in its order
    return "cuda" if stage.execution.resources.gpus and torch.cuda.is_available() else "cpu"
