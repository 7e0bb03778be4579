"""Tune runs the trials, in rounds; what it writes is scratch, since study and store hold all that counts."""

import gc
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from w2s_ray.spec import Sweep
from w2s_ray.stages.errors import cause_of, store_errors
from w2s_ray.stages.store import Store

_PROCESS_DEATHS = 10  # of one trial's thin actor: it holds nothing, so it is simply started again


def run_rounds(sweep: Sweep, store: Store, broker: Any, searcher: Any, is_over: Callable[[], bool]) -> None:
    """Begins Tune anew until `is_over` says that no more trials are wanted.

    Args:
        sweep: says how many trials run at once.
        store: Tune's scratch is in it.
        broker: makes the stages that trials ask for.
        searcher: asks the study for trials, and tells it how they end.
        is_over: asked before each round.

    Raises:
        StoreUnavailableError: the study cannot be written.
    """
    scratch = _scratch(store, sweep.name)
    try:
        while not is_over():
            _fit(_tuner(sweep, store, broker, searcher, scratch), store)
            clear_scratch(store, sweep.name)
            gc.collect()  # Tune leaves circles, which Python looks for ever more seldom as memory grows
    finally:
        clear_scratch(store, sweep.name)


def clear_scratch(store: Store, name: str) -> None:
    """Removes what Tune wrote for a sweep."""
    shutil.rmtree(_scratch(store, name), ignore_errors=True)


def _scratch(store: Store, name: str) -> Path:
    return store.root / "work" / f"tune-{name}"


def _tuner(sweep: Sweep, store: Store, broker: Any, searcher: Any, scratch: Path) -> Any:
    import ray
    from ray import tune
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    from w2s_ray.search.searcher import StudyPruner
    from w2s_ray.search.trial import trial_function

    parallelism = sweep.search.parallelism
    # Tune sends the driver's credentials along with each trial, and Ray writes them into its logs.
    ENV_VARS_TO_PROPAGATE.difference_update(name for name in list(ENV_VARS_TO_PROPAGATE) if name.startswith("AWS_"))
    # A byte of memory: Tune wants a resource, and any CPU it got would be taken from the stages. On the driver's node:
    # an actor elsewhere would keep its node from ever being idle.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    thin = tune.PlacementGroupFactory([{"memory": 1}], bundle_label_selector=[here])
    return tune.Tuner(
        tune.with_resources(trial_function(sweep, store, broker), thin),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=StudyPruner(searcher),
            num_samples=_trials_a_round(parallelism),
            max_concurrent_trials=parallelism,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=_PROCESS_DEATHS),
            verbose=0,
        ),
    )


def _trials_a_round(parallelism: int) -> int:
    """Returns after how many trials Tune is begun anew, since it keeps some 70 kB of each it has seen.

    At the end of a round the last trials run alone, and a new one starts its processes: over thirty times as many as
    run at once, that is little.
    """
    return max(100, 32 * parallelism)


def _fit(tuner: Any, store: Store) -> None:
    """Runs Tune. A study that cannot be written is the store's trouble; Tune would wrap it, and log its own with it."""
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)  # Tune's state is scratch
    with store_errors(store.root, "writing the study"):
        try:
            tuner.fit()
        except Exception as error:
            plain = cause_of(error, OSError)
            if plain is None:
                raise
            raise plain from None
