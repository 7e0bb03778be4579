"""Room for workers, as a real Ray of two CPUs gives it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from w2s_ray.spec import Resources
from w2s_ray.stages.room import room, width_for


@contextmanager
def held(ray: Any, cpus: int) -> Iterator[None]:
    """CPUs that somebody else has."""
    actors = [ray.remote(type("Other", (), {})).options(num_cpus=1).remote() for _ in range(cpus)]
    ray.get([one.__ray_ready__.remote() for one in actors])
    try:
        yield
    finally:
        for one in actors:
            ray.kill(one)


@pytest.mark.parametrize(("taken", "fewest", "width"), [(0, 1, 2), (1, 1, 1), (2, 2, 2)])
def test_a_group_is_as_wide_as_there_is_room_and_never_below_its_fewest(
    ray: Any, taken: int, fewest: int, width: int
) -> None:
    with held(ray, taken):
        assert asyncio.run(width_for(Resources(workers=3, min_workers=fewest), settle=3)) == width


def test_all_that_fit_are_found_at_once_and_their_places_are_free_again(ray: Any) -> None:
    async def twice() -> list[int]:
        return [await width_for(Resources(workers=2, min_workers=1), settle=60) for _ in range(2)]

    assert asyncio.run(asyncio.wait_for(twice(), 50)) == [2, 2]


def test_a_place_is_waited_for_and_held(ray: Any) -> None:
    async def wait() -> tuple[int, int]:
        asyncio.get_running_loop().call_later(4, freed.set)
        async with room(Resources(), most=1, fewest=1, settle=0.5) as found:
            assert freed.is_set()
            return found, await width_for(Resources(workers=2, min_workers=1), settle=3)

    async def free() -> None:
        await freed.wait()
        others.__exit__(None, None, None)

    async def both() -> tuple[int, int]:
        return (await asyncio.gather(wait(), free()))[0]

    freed, others = asyncio.Event(), held(ray, 2)
    others.__enter__()
    assert asyncio.run(both()) == (1, 1)
