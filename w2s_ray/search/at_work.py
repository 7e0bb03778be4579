"""Ray and a broker while stages are made, and how that is left: each training saves a checkpoint before it ends."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.markup import escape

from w2s_ray.search.fitting import without_place
from w2s_ray.search.node_types import are_kinds_hidden, kinds_on
from w2s_ray.search.progress import Progress
from w2s_ray.search.resuming import resume_command
from w2s_ray.search.session import ray_session
from w2s_ray.search.signals import Leaving
from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store

_DRAIN_SECONDS = 15.0
_THEN_SECONDS = 12.0  # Ray's end and the last projection


@contextmanager
def at_work(sweep: Sweep, store: Store, progress: Progress, leaving: Leaving, left: int) -> Iterator[Any]:
    """Gives the broker of a sweep in a Ray of its own, or in the cluster that RAY_ADDRESS names.

    Args:
        sweep: what stages are made for.
        store: where.
        progress: shows which run.
        leaving: how long the trainings may take to save, once Ctrl-C or SIGTERM came.
        left: trials whose results are missing.

    Raises:
        RayStartError: Ray cannot be used.
    """
    again = resume_command(sweep.name, store.uri)
    with ray_session(progress, again) as ray:
        broker = _start_broker(ray, sweep, store, progress)

        def running() -> list[str]:
            try:
                return ray.get(broker.running.remote(), timeout=10)  # type: ignore[no-any-return]
            except ray.exceptions.RayError:  # the broker is being started again
                return []

        with progress.watching(running, left):
            try:
                yield broker
            except KeyboardInterrupt:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(broker.drain.remote(), timeout=leaving.seconds(_DRAIN_SECONDS, _THEN_SECONDS))
                raise


def _start_broker(ray: Any, sweep: Sweep, store: Store, progress: Progress) -> Any:
    """Starts the broker with what the nodes have, after saying what none of them could hold."""
    from w2s_ray.stages.broker import start_broker

    kinds = [(kind.resources, kind.count) for kind in kinds_on(ray)]
    if not are_kinds_hidden():
        for words in without_place(sweep, kinds):
            progress.say(f"[yellow]no place[/yellow]: {escape(words)}")
    elif not any("GPU" in resources for resources, _ in kinds):
        progress.say(
            "no node has a GPU now, and groups without pods are not seen; what shall wait for one says gpus: 1"
        )
    return start_broker(store, sweep.name, sweep.resources.store_patience, kinds)
