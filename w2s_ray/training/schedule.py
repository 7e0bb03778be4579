"""What changes over a run as a function of the step: the learning rate, and the weight of the confidence loss."""

import math

from w2s_ray.spec.training import Loss, Training


def lr_at(step: int, steps: int, training: Training) -> float:
    """Returns the learning rate of `step` (from 0) of `steps`.

    It rises linearly over the first `lr_warmup` of the steps, then falls from the peak to 0 (linear, cosine) or stays.
    Neither the first nor the last step has a rate of 0, which would waste it.
    """
    warmup = round(training.lr_warmup * steps)
    if step < warmup:
        return training.lr * (step + 1) / (warmup + 1)
    left = 1 - (step - warmup) / (steps - warmup)
    factor = {"linear": left, "cosine": 0.5 * (1 - math.cos(math.pi * left)), "constant": 1.0}[training.schedule]
    return training.lr * factor


def alpha_at(step: int, steps: int, loss: Loss) -> float:
    """Returns the weight of the student's own prediction at `step` (from 0) of `steps`.

    It rises linearly from 0 to `alpha` over the first `alpha_warmup` of the steps and is continuous where that ends;
    with a warm-up of 0 it is `alpha` from the first step. Source: arXiv 2312.09390, A.4 (20 % of training).
    """
    if loss.alpha_warmup == 0:
        return loss.alpha
    return loss.alpha * min(1.0, step / (loss.alpha_warmup * steps))
