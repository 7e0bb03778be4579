"""From a Finetune stage's settings to what is trained and what it reads: a probe's features, or a network's tokens."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from w2s_ray.assets import locate
from w2s_ray.labels import Labels
from w2s_ray.models.head import LinearHead, TextClassifier
from w2s_ray.models.neighbours import Neighbours
from w2s_ray.spec.model import FROZEN
from w2s_ray.stages.artifacts import EXAMPLES, FEATURES, Examples
from w2s_ray.stages.stage import Finetune, Stage
from w2s_ray.stages.store import Store
from w2s_ray.training.inputs import FeatureInputs, Inputs, TextInputs
from w2s_ray.training.losses.objective import smooth
from w2s_ray.training.probes import fit_logistic

InputsOf = Callable[[str], Inputs]


def network_and_inputs(
    stage: Stage, settings: Finetune, store: Store, examples: Examples, labels: Labels
) -> tuple[torch.nn.Module, InputsOf]:
    """Returns the network and a function from a split to its inputs, in the order of the examples.

    `labels` are those of the training half; only the probe that lp-ft begins with learns from them here.
    """
    if settings.train in FROZEN:
        return _on_features(settings, _features(stage, settings, store), examples, labels)
    from w2s_ray.models.load import load_classifier  # transformers, 0.9 s: a head on features does not need it

    folder = locate(stage.execution.source, stage.execution.revision)
    network, tokenizer = load_classifier(folder, settings.model, len(examples.class_names))
    _prepare(network, stage, settings, store, examples, labels)
    texts = _texts(stage, store, examples)

    def inputs_of(split: str) -> Inputs:
        return TextInputs([texts[row] for row in examples.rows(split)], tokenizer, settings.model.max_length)

    return network, inputs_of


def finetuned_network(stage: Stage, weights: Mapping[str, torch.Tensor], classes: int) -> TextClassifier:
    """Returns the network of a Finetune stage that reads texts, with its trained weights, an adapter merged in."""
    from w2s_ray.models.load import load_classifier

    settings = stage.settings
    assert isinstance(settings, Finetune)
    folder = locate(stage.execution.source, stage.execution.revision)
    network, _ = load_classifier(folder, settings.model, classes)
    if settings.train == "lora":
        from w2s_ray.models.adapt import add_lora

        add_lora(network, settings.lora_rank, settings.lora_alpha)
    missing, unexpected = network.load_state_dict(dict(weights), strict=False)
    # What lora leaves as it was pretrained is not stored.
    frozen = {name for name, one in network.named_parameters() if not one.requires_grad}
    assert not unexpected, unexpected
    assert set(missing) <= frozen, missing
    if settings.train == "lora":
        backbone: Any = network.backbone
        network.backbone = backbone.merge_and_unload()
    return network


def with_labels(examples: Examples, half: str, labels: Labels) -> NDArray[np.bool_]:
    """Returns which examples of a half have a label, in their order; an operation on labels may have left some out."""
    return np.isin(examples.ids[examples.rows(half)], labels.ids)


def _texts(stage: Stage, store: Store, examples: Examples) -> list[str]:
    """Returns the texts in the order of the examples: those of the `texts` input where there is one."""
    other = stage.inputs.get("texts")
    return examples.texts if other is None else Examples.read(store.get(other.address).file(EXAMPLES)).texts


def _features(stage: Stage, settings: Finetune, store: Store) -> NDArray[np.float32]:
    features: NDArray[np.float32] = load_file(store.get(stage.inputs["features"].address).file(FEATURES))["features"]
    if settings.features is not None and settings.features > features.shape[1]:
        raise ValueError(f"features must be at most {features.shape[1]}, the model's width, got {settings.features}")
    return features[:, : settings.features]


def _on_features(
    settings: Finetune, features: NDArray[np.float32], examples: Examples, labels: Labels
) -> tuple[torch.nn.Module, InputsOf]:
    if settings.train == "knn":
        labelled = with_labels(examples, settings.half, labels)
        places = np.where(labelled, labelled.cumsum() - 1, -1).astype(np.int64)

        def inputs_with_places(split: str) -> Inputs:
            return FeatureInputs(features[examples.rows(split)], places if split == settings.half else None)

        return Neighbours(settings.neighbours, settings.metric), inputs_with_places
    head = LinearHead(features.shape[1], len(examples.class_names))
    head.standardize(torch.from_numpy(features[examples.rows(settings.half)]))
    return head, lambda split: FeatureInputs(features[examples.rows(split)])


def _prepare(
    network: TextClassifier, stage: Stage, settings: Finetune, store: Store, examples: Examples, labels: Labels
) -> None:
    from w2s_ray.models.adapt import add_lora, train_top  # peft is slow to import, and few need it

    if settings.train == "top":
        train_top(network, settings.top_layers)
    elif settings.train == "lora":
        add_lora(network, settings.lora_rank, settings.lora_alpha)
    elif settings.train == "lp-ft":
        features = torch.from_numpy(_features(stage, settings, store)[examples.rows(settings.half)])
        network.head.standardize(features)
        features = features[torch.from_numpy(with_labels(examples, settings.half, labels))]
        targets = smooth(torch.from_numpy(labels.probabilities), settings.loss.smoothing)
        fit_logistic(network.head, features, targets, settings.l2)
