"""How wide an elastic group can be: what room a cluster has for workers between `min_workers` and `workers`.

Ray Train's own elastic policy counts the cluster's resources, not those that are free, and beside other stages it asks
for groups that do not fit. Here every worker that is wanted asks Ray for its place with an actor of its own: Ray alone
says what is free, the autoscaler sees all of them at once, and nobody else gets a place that was found.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ray

from w2s_ray.spec import Resources

SETTLE_SECONDS = 10.0  # in which no further place came; nodes that start together do not come at the same moment

_OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Ray's names of resources that a task or an actor asks for by options of their own."""


class _Place:
    """Holds what one worker takes."""


def place_of(resources: Resources) -> dict[str, Any]:
    """Returns the options by which Ray gives a task or an actor the place of one worker."""
    demand = dict(resources.demand)
    options = {option: demand.pop(name, 0) for name, option in _OPTIONS.items()}
    return {**options, "resources": demand}


async def width_for(resources: Resources, settle: float = SETTLE_SECONDS) -> int:
    """Returns how many workers a group shall have now: those that find a place, at least `min_workers`.

    Where not even these find one they are asked for all the same, and wait in Ray as any group does: all at once, so
    that two groups never hold what the other lacks.
    """
    async with room(resources, resources.workers, 0, settle) as found:
        return max(found, resources.fewest)


@asynccontextmanager
async def room(resources: Resources, most: int, fewest: int, settle: float = SETTLE_SECONDS) -> AsyncIterator[int]:
    """Yields for how many workers there is a place, which are held within the block.

    Args:
        resources: of one worker.
        most: how many are wanted.
        fewest: how many are waited for, however long that takes.
        settle: seconds that more are waited for after the last that came.
    """
    actor = ray.remote(_Place).options(**place_of(resources), max_restarts=-1)
    actors = [actor.remote() for _ in range(most)]
    try:
        yield await _ready(actors, fewest, settle)
    finally:
        for one in actors:
            ray.kill(one)


async def _ready(actors: list[Any], fewest: int, settle: float) -> int:
    waiting = {asyncio.ensure_future(_is_placed(one)) for one in actors}
    found = 0
    try:
        while waiting:
            patience = settle if found >= fewest else None
            come, waiting = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not come:
                break
            found += sum(one.exception() is None for one in come)
    finally:
        for one in waiting:
            one.cancel()
    return found


async def _is_placed(actor: Any) -> None:
    await actor.__ray_ready__.remote()
