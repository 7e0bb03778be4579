"""The sweeps of a file with many tasks, run one after another; what stops one of them stops no other.

What would stop all of them does end it: Ctrl-C, a Ray that does not start, a store that is full or gone.
"""

from collections.abc import Iterator

from w2s_ray.assets import AssetError
from w2s_ray.search.driver import run
from w2s_ray.search.errors import SweepFailedError
from w2s_ray.search.fitting import with_absolute_paths
from w2s_ray.search.lease import SweepInUseError
from w2s_ray.search.record import FAILED, SweepRecord
from w2s_ray.search.several import keep
from w2s_ray.spec import Sweep
from w2s_ray.spec.several import Several
from w2s_ray.stages.errors import MissingStageError
from w2s_ray.stages.open import open_store

ITS_OWN = (AssetError, MissingStageError, SweepFailedError, SweepInUseError, ValueError)
"""Errors that are one sweep's own."""


def run_in_order(several: Several, *, take_over: bool = False) -> Iterator[tuple[Sweep, SweepRecord | Exception]]:
    """Yields each sweep with its record once it has been run, or with the error that ended it.

    Raises:
        ValueError: a sweep of one task has the file's name in this store.
        RayStartError, StoreUnavailableError, KeyboardInterrupt: as `run`.
    """
    keep(open_store(several.sweeps[0].store), Several(several.name, tuple(map(with_absolute_paths, several.sweeps))))
    for sweep in several.sweeps:
        try:
            record = run(sweep, take_over=take_over)
        except ITS_OWN as error:
            yield sweep, error
            continue
        is_empty = all(trial.state == FAILED for trial in record.trials)
        yield sweep, SweepFailedError(f"every trial failed; see: w2s status {sweep.name}") if is_empty else record
