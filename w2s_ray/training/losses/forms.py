"""How far predictions are from their targets: one number summed over examples, so that parts of a batch add up.

All take logits (n, classes) and targets (n, classes) that sum to 1 in each row, for any number of classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from w2s_ray.spec.training import Loss, LossName
from w2s_ray.training.losses.confidence import cross_entropy

Form = Callable[[Tensor, Tensor, float], Tensor]
"""From logits, targets and the present alpha to a sum over examples."""

FLOOR = 1e-4
"""Reverse losses take the logarithm of labels, which may be 0: no label counts as less than this."""


def form_of(loss: Loss, weak: Tensor) -> Form:
    """Returns the distance that `loss` names; `weak` are the labels of the training half, (n, classes)."""
    radius = midweak(weak) if loss.radius == "midweak" else float(loss.radius)
    forms: dict[LossName, Form] = {
        "cross-entropy": lambda logits, target, alpha: cross_entropy(logits, target),
        "confidence": lambda logits, target, alpha: cross_entropy(logits, target),
        "log-confidence": lambda logits, target, alpha: cross_entropy(logits, target),
        "product": lambda logits, target, alpha: cross_entropy(logits, product_target(logits, target, alpha)),
        "entropy": entropy_loss,
        "window": lambda logits, target, alpha: window_loss(logits, target, radius),
        "kl": lambda logits, target, alpha: kl(logits, target),
        "reverse-kl": lambda logits, target, alpha: reverse_kl(logits, target),
        "reverse-cross-entropy": lambda logits, target, alpha: reverse_cross_entropy(logits, target),
        "generalised-cross-entropy": lambda logits, target, alpha: generalised_cross_entropy(logits, target, loss.q),
    }
    return forms[loss.name]


def product_target(logits: Tensor, weak: Tensor, alpha: float) -> Tensor:
    """Returns the product loss's target, [w · f^α / Σ_c w_c f_c^α], shape (n, classes), without gradient.

    Source: arXiv 2312.09390, appendix B (at α = 1); openai/weak-to-strong, where α ignores the warm-up that its
    configuration asks for. Here α rises over it, so at first the target is w. Rows where w and f exclude each other, a
    product of zero, keep w.
    """
    own = torch.log_softmax(logits.detach(), dim=1)
    product = weak * torch.exp(alpha * own)
    total = product.sum(dim=1, keepdim=True)
    return torch.where(total > 0, product / total.clamp_min(torch.finfo(product.dtype).tiny), weak)


def entropy_loss(logits: Tensor, weak: Tensor, alpha: float) -> Tensor:
    """Returns Σ (1 - α) · CE(f, w) + α · H(f), H(f) = -Σ_c f_c ln f_c: the confidence loss with nothing hardened.

    The gradient does go through both f of H: with either held fixed and the other not, CE(f, [f]) has the gradient
    f - f = 0 and the term would do nothing but weaken the labels, as in EleutherAI/w2s. Source: arXiv 2312.09390,
    appendix B; Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", 2004.
    """
    own = torch.log_softmax(logits, dim=1)
    return (1 - alpha) * cross_entropy(logits, weak) - alpha * (own.exp() * own).sum()


def window_loss(logits: Tensor, weak: Tensor, radius: float) -> Tensor:
    """Returns Σ [I(max_c f_c - 1 / C < r)] · CE(f, w): only examples of which the student is not yet sure.

    With two classes the distance is |f_1 - 1/2|. The loop divides by the whole batch, not by what is left of it, so
    that few uncertain examples make a small step. Source: EleutherAI/w2s, "window" (r = 0.15, or midweak).
    """
    distance = torch.softmax(logits.detach(), dim=1).amax(dim=1) - 1 / logits.shape[1]
    return cross_entropy(logits, weak * (distance < radius).unsqueeze(1))


def midweak(weak: Tensor) -> float:
    """Returns the median over labels (n, classes) of max_c w_c - 1 / C; of an even number the mean of the middle two.

    Never 0, which would leave no window where half the labels are even. Source: EleutherAI/w2s, "midweak".
    """
    distance = (weak.double().amax(dim=1) - 1 / weak.shape[1]).sort().values
    middle = (distance[(len(distance) - 1) // 2] + distance[len(distance) // 2]) / 2
    return max(float(middle), FLOOR)


def kl(logits: Tensor, weak: Tensor) -> Tensor:
    """Returns Σ KL(w ‖ f) = Σ_c w_c ln(w_c / f_c): cross entropy less the labels' entropy, so of the same gradient.

    It is zero where the student agrees entirely, which makes curves comparable. Source: EleutherAI/weak-to-strong.
    """
    return cross_entropy(logits, weak) + torch.xlogy(weak, weak).sum()


def reverse_kl(logits: Tensor, weak: Tensor) -> Tensor:
    """Returns Σ KL(f ‖ w) = Σ_c f_c ln(f_c / w_c): it seeks a mode of the labels instead of covering all.

    Source: arXiv 2502.11107.
    """
    own = torch.log_softmax(logits, dim=1)
    return reverse_cross_entropy(logits, weak) + (own.exp() * own).sum()


def reverse_cross_entropy(logits: Tensor, weak: Tensor) -> Tensor:
    """Returns Σ CE(w, f) = -Σ_c f_c ln max(w_c, FLOOR): labels near even hardly pull, sure ones pull to a corner.

    Source: arXiv 1908.06112 (symmetric cross entropy, where ln 0 is -4); arXiv 2506.03109 for weak-to-strong.
    """
    return -(torch.softmax(logits, dim=1) * weak.clamp_min(FLOOR).log()).sum()


def generalised_cross_entropy(logits: Tensor, weak: Tensor, q: float) -> Tensor:
    """Returns Σ_c w_c (1 - f_c^q) / q: cross entropy as q nears 0, 1 - f of the label, which bounds errors, at q = 1.

    Source: Zhang and Sabuncu, arXiv 1805.07836, q = 0.7, there for hard labels; here its mean over soft ones. Burns et
    al. found no gain (appendix B).
    """
    own = torch.log_softmax(logits, dim=1)
    return (weak * -torch.expm1(q * own)).sum() / q
