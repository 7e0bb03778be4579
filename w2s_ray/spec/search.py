"""How the space is searched, and by whose labels a student is judged while it is."""

from typing import Literal

from pydantic import Field

from w2s_ray.spec.base import Frozen
from w2s_ray.spec.budget import Budget

STORAGE_FORM = "write postgresql://USER@HOST/DATABASE, or sqlite:////FOLDER/FILE with the file's whole path"
"""How to mend the URL of a study's database."""


class Objective(Frozen):
    """Mean student accuracy on the validation split, over the seeds.

    `oracle` judges by ground truth, as the paper tunes; `weak` judges by the weak supervisor's labels, which is all one
    would have without ground truth. Both are computed for every trial and compared in the report.
    """

    labels: Literal["oracle", "weak"] = "oracle"


class Pruner(Frozen):
    """Stops a student whose validation accuracy falls behind; the first seed races, a survivor gets all its seeds."""

    kind: Literal["none", "median", "successive-halving", "hyperband"] = "none"
    startup_trials: int = Field(
        default=4, ge=0, description="finished trials of a pairing before any is pruned (median)"
    )
    warmup_steps: int = Field(default=0, ge=0, description="optimizer steps before a student can be pruned")


class Search(Frozen):
    """The numbers of a search depend on these settings and the seeds, never on how fast which trial was."""

    trials: int = Field(default=20, ge=1, description="finished trials over all pairings")
    sampler: Literal["tpe", "random", "grid", "gp", "cmaes", "nsga2"] = "tpe"
    pruner: Pruner = Pruner()
    parallelism: int = Field(
        default=4,
        ge=1,
        description="open trials; trial n is proposed knowing the results of trials 0 to n - parallelism",
    )
    seed: int = Field(default=0, ge=0)
    failures_in_a_row: int = Field(default=5, ge=1, description="failed trials after which the sweep stops")
    confirm: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="fresh seeds with which the best trial and the naive default of each pairing are trained again at "
        "the end; 0: none",
    )
    budget: Budget | None = None
    storage: str | None = Field(
        default=None,
        description="URL without a password of the database that holds the study; null: `W2S_STUDY_URL`, else a "
        "journal in the store",
    )


class Tracking(Frozen):
    """Where the MLflow projection goes. Without a URI: an sqlite file in the store's folder."""

    enabled: bool = True
    uri: str | None = None
