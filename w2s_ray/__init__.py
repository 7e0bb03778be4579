"""Sweeps over weak-to-strong generalization experiments: `w2s_ray.run(Sweep(...))` does what `w2s run SPEC` does."""

from typing import TYPE_CHECKING, Any

from w2s_ray.spec import (
    Columns,
    Dimension,
    Loss,
    Model,
    Objective,
    Pairing,
    Pruner,
    ResourcePlan,
    Resources,
    Search,
    SpecError,
    Splits,
    Sweep,
    Task,
    Tracking,
    Training,
    When,
)

if TYPE_CHECKING:
    from w2s_ray.search.record import SweepRecord

__all__ = [
    "Columns",
    "Dimension",
    "Loss",
    "Model",
    "Objective",
    "Pairing",
    "Pruner",
    "ResourcePlan",
    "Resources",
    "Search",
    "SpecError",
    "Splits",
    "Sweep",
    "Task",
    "Tracking",
    "Training",
    "When",
    "run",
]


def run(sweep: Sweep, **options: Any) -> "SweepRecord":
    """Runs what is left of a sweep; see `w2s_ray.search.driver.run`."""
    # Imported late: the driver brings Ray and Optuna, which reading a spec does not need.
    from w2s_ray.search.driver import run as run_sweep

    return run_sweep(sweep, **options)
