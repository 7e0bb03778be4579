"""Cross entropy against soft labels, and the confidence loss of weak-to-strong generalization.

    L(f) = (1 - α) · CE(f(x), f_w(x)) + α · CE(f(x), f̂(x))           (arXiv 2312.09390, section 4.3.2 and A.4)

f_w are the weak labels and f̂ the student's own predictions, hardened. For binary tasks f̂(x) = I[f(x) > t], with t set
in every batch so that exactly half of it is positive; for unbalanced tasks, so that the class prior of the weak labels
is met. Cross entropy is linear in its target, so this is CE(f, (1 - α) f_w + α f̂). Nothing is differentiated through f̂.

"The batch" is the global one: t must not depend on how many workers divide it or on how it is cut to fit a memory.

The released code's "logconf" (openai/weak-to-strong) is the same with other numbers: alpha 0.5, a warm-up of 0.1, and
always the threshold that meets the mean of the batch's weak labels, an interpolated quantile. Three of its defects are
mended: alpha rises linearly instead of jumping from 0.1 of its height to all of it, is full at a warm-up of 0, and ties
at the threshold are divided instead of all becoming one class.
"""

import math

import torch
from torch import Tensor

BALANCED = 0.05
"""A binary task counts as balanced where the weak labels' mean over the training half lies this near to one half."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the cross entropy, summed over examples, of logits against soft targets, both (n, classes)."""
    return -(targets * torch.log_softmax(logits, dim=1)).sum()


def mix(weak: Tensor, hardened: Tensor, alpha: float) -> Tensor:
    """Returns the confidence loss's target, (1 - α) f_w + α f̂, shape (n, classes)."""
    return (1 - alpha) * weak + alpha * hardened


def confidence_loss(logits: Tensor, weak: Tensor, alpha: float, prior: Tensor | None = None) -> Tensor:
    """Returns the confidence loss of one whole batch, averaged over its examples.

    This is the plain statement of what the training loop computes in parts.

    Args:
        logits: of the student, (n, classes).
        weak: soft labels, (n, classes).
        alpha: weight of the student's own prediction, within [0, 1].
        prior: share of each class among hardened predictions, (classes,); by default the mean of `weak`.
    """
    probabilities = torch.softmax(logits.detach(), dim=1)
    target = mix(weak, harden(probabilities, weak.mean(dim=0) if prior is None else prior), alpha)
    return cross_entropy(logits, target) / len(logits)


def harden(probabilities: Tensor, prior: Tensor) -> Tensor:
    """Returns one-hot predictions that meet a class prior in this batch.

    Binary: the k = round(n · prior) examples most probably positive are positive, exactly k of them (a half rounds up);
    of equally probable ones the earlier in the batch. More classes: class c gets about n · prior_c places (largest
    remainder); places go to (example, class) pairs in order of falling probability. For two classes both rules agree.

    Args:
        probabilities: (n, classes), without gradient.
        prior: (classes,), sums to 1.

    Returns:
        float32, (n, classes).
    """
    count, classes = probabilities.shape
    if classes != 2:
        return _harden_by_places(probabilities, prior)
    return _most_probable(probabilities, min(count, int(count * float(prior[1]) + 0.5)))


def harden_by_quantile(probabilities: Tensor, mean: Tensor) -> Tensor:
    """Returns one-hot predictions by the released code's threshold, f_0 at its quantile `mean[1]`; ties are divided.

    The quantile is interpolated between (n - 1) places, below it an example is positive, so ceil((n - 1) · mean) are.
    For more than two classes, which the released code refuses, it is `harden`.

    Args:
        probabilities: (n, classes), without gradient.
        mean: of the batch's weak labels, (classes,).
    """
    count, classes = probabilities.shape
    if classes != 2:
        return harden(probabilities, mean)
    place = (count - 1) * float(mean[1])
    return _most_probable(probabilities, min(count, math.ceil(place - 1e-4)))  # a mean in float32 is not exact


def _most_probable(probabilities: Tensor, positives: int) -> Tensor:
    order = torch.sort(probabilities[:, 1], descending=True, stable=True).indices
    hardened = torch.zeros_like(probabilities)
    hardened[order[:positives], 1] = 1
    hardened[order[positives:], 0] = 1
    return hardened


def batch_prior(weak: Tensor, balanced: bool) -> Tensor:
    """Returns the prior for a global batch's weak labels (n, classes): uniform if balanced, else the batch's mean."""
    if balanced:
        return torch.full((weak.shape[1],), 1 / weak.shape[1])
    return weak.mean(dim=0).cpu()


def is_balanced(weak: Tensor) -> bool:
    """Says whether weak labels (n, classes) of a training half are binary and balanced."""
    return weak.shape[1] == 2 and abs(float(weak[:, 1].mean()) - 0.5) <= BALANCED


def _harden_by_places(probabilities: Tensor, prior: Tensor) -> Tensor:
    count, classes = probabilities.shape
    places = _places(count, prior)
    hardened = torch.zeros(count, classes)
    free = [True] * count
    for pair in torch.sort(probabilities.flatten().cpu(), descending=True, stable=True).indices.tolist():
        example, chosen = divmod(pair, classes)
        if free[example] and places[chosen]:
            free[example] = False
            places[chosen] -= 1
            hardened[example, chosen] = 1
    return hardened.to(probabilities.device)


def _places(count: int, prior: Tensor) -> list[int]:
    """Divides `count` places by largest remainder."""
    wanted = [count * share for share in prior.tolist()]
    places = [int(share) for share in wanted]
    order = sorted(range(len(wanted)), key=lambda place: places[place] - wanted[place])
    for place in order[: max(0, count - sum(places))]:
        places[place] += 1
    return places
