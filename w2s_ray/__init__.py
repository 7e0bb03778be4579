"""Sweeps over weak-to-strong generalization experiments: `w2s_ray.run(Sweep(...))` does what `w2s run SPEC` does."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.spec import (
    Columns,
    Difficulty,
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
    from w2s_ray.report.frames import Loaded
    from w2s_ray.search.record import SweepRecord

__all__ = [
    "Columns",
    "Difficulty",
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
    "load",
    "run",
]


def run(sweep: Sweep, **options: Any) -> "SweepRecord":
    """Runs what is left of a sweep; see `w2s_ray.search.driver.run`."""
    # Imported late: the driver brings Ray and Optuna, which reading a spec does not need.
    from w2s_ray.search.driver import run as run_sweep

    return run_sweep(sweep, **options)


def load(name: str, store: str | Path | None = None) -> "Loaded":
    """Returns a sweep as pandas tables: `load("quickstart").trials` and `.results`.

    From study and store alone, so any time during or after a run; the columns are told in `w2s_ray.report.frames`.

    Args:
        name: of the sweep, as its spec says.
        store: folder of all results, or a bucket's URI; by default as for the commands: `w2s-runs` here, or, where
            that has no such sweep, the only store used before on this machine that has it.

    Raises:
        UnknownSweepError: a LookupError; the store has no sweep of that name.
        ValueError: no store was named, and several have it.
        KeyError: a finished trial's stage is no longer in the store; `w2s resume NAME` makes it again.
    """
    with warnings.catch_warnings():
        # Optuna's import of tqdm asks every notebook for widgets, and nothing here shows a bar.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from w2s_ray.search.folder import as_it_runs, load_record, load_spec
    from w2s_ray.report.frames import frames_of
    from w2s_ray.search.known_stores import store_with
    from w2s_ray.spec.sweep import DEFAULT_STORE
    from w2s_ray.stages.open import open_store

    folder = open_store(store) if store else store_with(name, open_store(DEFAULT_STORE), option="store=")
    return frames_of(as_it_runs(load_record(folder, load_spec(folder, name))))
