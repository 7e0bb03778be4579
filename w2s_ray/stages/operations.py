"""What one labels stage does to the labels it reads; each operation is part of its stage's identity.

A chain of operations is a chain of stages. A seed is a field only of what draws by chance, so that trials and seeds
share what they can.
"""

from typing import Annotated, Literal

from pydantic import Field

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.labels import ASK_CEILING, Structure


class Mean(Frozen):
    """The mean of several supervisors. Inputs: `labels 1`, `labels 2`, ..."""

    operation: Literal["mean"] = "mean"


class Flip(Frozen):
    """Makes labels wrong. Inputs: `labels`, and `ceiling` where the structure asks it.

    With a rate it flips that share of the labels. Without one (null) it flips ground truth, as often as the supervisor
    errs: appendix E.2 of the paper.
    """

    operation: Literal["flip"] = "flip"
    structure: Structure
    rate: float | None
    seed: int


class Temper(Frozen):
    """Makes labels surer or less sure. Inputs: `labels`."""

    operation: Literal["temper"] = "temper"
    temperature: float


class Probe(Frozen):
    """Relabels by a probe, or drops what it doubts. Inputs: `labels`, `features` of the strong model."""

    operation: Literal["probe"] = "probe"
    model: Literal["knn", "logistic"]
    action: Literal["filter", "relabel"]
    strength: float  # neighbours of knn, the L2 penalty of logistic
    dropped: float  # 0 for relabel


class PutTruth(Frozen):
    """Replaces a share of the labels by ground truth. Inputs: `labels`."""

    operation: Literal["truth"] = "truth"
    fraction: float
    seed: int


class Keep(Frozen):
    """Keeps the surest share of each class. Inputs: `labels`."""

    operation: Literal["keep"] = "keep"
    share: float


class Harden(Frozen):
    """One class each. Inputs: `labels`."""

    operation: Literal["harden"] = "harden"


class Part(Frozen):
    """Keeps one of several disjoint parts, so that each step of a chain sees fresh texts. Inputs: `labels`."""

    operation: Literal["part"] = "part"
    part: int  # from 0
    of: int


Operation = Annotated[Mean | Flip | Temper | Probe | PutTruth | Keep | Harden | Part, Field(discriminator="operation")]


def reads_truth(operation: Operation) -> bool:
    """Whether ground truth of the student's half has a part in what comes out."""
    if isinstance(operation, Flip):
        return operation.rate is None or operation.structure in ASK_CEILING
    return isinstance(operation, PutTruth)
