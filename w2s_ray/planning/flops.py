"""How many floating point operations a stage takes, by the sizes of its model and data.

N is the parameters of a transformer's layers, 12 width^2 each; a token's forward pass takes 2 N, the gradients of all
weights another 4 N (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), and those of its inputs alone 2 N, which is
what an adapter needs. Embeddings and what attention adds for long texts are left out.
"""

import math

from w2s_ray.assets import dimensions_of
from w2s_ray.dimensions import Dimensions
from w2s_ray.search.forecast import rows_of
from w2s_ray.spec import Sweep
from w2s_ray.spec.model import AT_ONCE, FROZEN
from w2s_ray.stages.stage import ExtractFeatures, Finetune, ModelIdentity, Prompt, Stage

_CLASSES = 2  # of a head; more change nothing that counts


def flops_of(stage: Stage, sweep: Sweep, tokens: float | None) -> float | None:
    """Returns the operations of a stage: 0 where it computes next to nothing, None where its model's size is unknown.

    Args:
        stage: of any kind.
        sweep: whose splits it reads.
        tokens: mean of an example; None takes the model's max_length, the most it can be.
    """
    settings = stage.settings
    if not isinstance(settings, Finetune | ExtractFeatures | Prompt):
        return 0.0
    size = dimensions_of(stage.execution.source, stage.execution.revision)
    if size is None:
        return None
    forward = 2 * _layer_parameters(size, settings.model) * (tokens or settings.model.max_length)
    if isinstance(settings, ExtractFeatures):
        return forward * rows_of(sweep)
    if isinstance(settings, Prompt):
        return forward * (1 + settings.shots) * (rows_of(sweep) - sweep.task.splits.weak)
    return _of_training(settings, size, forward, sweep)


def _of_training(settings: Finetune, size: Dimensions, forward: float, sweep: Sweep) -> float:
    """Trains on a half in every epoch, validates in between, and predicts all other splits at the end."""
    splits, training = sweep.task.splits, settings.training
    examples = splits.weak if settings.half == "weak" else splits.student
    epochs = 1 if settings.train in AT_ONCE else training.epochs
    validations = math.ceil(examples / training.batch_size) * epochs // training.eval_every
    if settings.train in FROZEN:
        forward = 2.0 * (settings.features or size.width) * _CLASSES
        each = 3 * forward
    elif settings.train == "lora":
        each = 2 * forward
    elif settings.train == "top":
        layers = size.layers_at(settings.model.depth)
        each = forward * (1 + 2 * min(1.0, settings.top_layers / max(1, layers)))
    else:
        each = 3 * forward
    predicted = rows_of(sweep) - splits.weak + validations * splits.validation
    return each * examples * epochs + forward * predicted


def _layer_parameters(size: Dimensions, model: ModelIdentity) -> float:
    return 12.0 * size.width**2 * size.layers_at(model.depth)
