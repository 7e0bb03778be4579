"""What the broker hears of a node that dies or is given notice; that Ray tells so is seen in tests/chaos."""

import asyncio

import pytest

from w2s_ray.stages.nodes import NodeLostError, Places, TrainingMovedError
from w2s_ray.training.errors import TrainingStopped


class Cluster:
    """Nodes that a test takes away, and a stage that runs on them until it is asked to stop."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.leaving: set[str] = set()
        self.asked: list[str] = []
        self.places = Places(self.stop, lambda: (set(self.dead), set(self.leaving)), doubt=1.0)
        self.task: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def stop(self, address: str) -> None:
        self.asked.append(address)
        self.task.set_exception(TrainingStopped(7))

    async def run(self, *nodes: str, loses: str | None = None, notice: str | None = None) -> float:
        """Runs a stage that its first node leads; then a node is lost or given notice."""
        waiting = asyncio.ensure_future(self.places.outcome("stage", self.task))
        await asyncio.sleep(0.1)
        for node in nodes[:1]:
            self.places.begun("stage", node)
        for node in nodes:
            self.places.joined("stage", node)
        self.dead |= {loses} - {None}  # type: ignore[arg-type]
        self.leaving |= {notice} - {None}  # type: ignore[arg-type]
        return await asyncio.wait_for(waiting, 10)


async def outcome(*nodes: str, loses: str | None = None, notice: str | None = None) -> float:
    return await Cluster().run(*nodes, loses=loses, notice=notice)


def test_a_stage_on_a_node_that_died_is_not_waited_for() -> None:
    with pytest.raises(NodeLostError) as caught:
        asyncio.run(outcome("a", loses="a"))
    assert caught.value.had_begun


def test_a_stage_that_has_not_begun_when_a_node_dies_is_asked_for_again_after_a_while() -> None:
    with pytest.raises(NodeLostError) as caught:
        asyncio.run(outcome(loses="a"))
    assert not caught.value.had_begun


@pytest.mark.parametrize("noticed", ["a", "b"])
def test_a_training_is_asked_once_to_leave_a_node_that_its_task_or_a_worker_is_on(noticed: str) -> None:
    async def leave() -> list[str]:
        cluster = Cluster()
        with pytest.raises(TrainingMovedError):
            await cluster.run("a", "b", notice=noticed)
        return cluster.asked

    assert asyncio.run(leave()) == ["stage"]


def test_other_nodes_are_no_concern_and_a_stop_without_notice_is_no_move() -> None:
    async def end(notice: str, loses: str, *, stopped: bool) -> float:
        cluster = Cluster()
        loop = asyncio.get_running_loop()
        loop.call_later(2.5, lambda: cluster.stop("stage") if stopped else cluster.task.set_result(3.0))
        return await cluster.run("a", "b", notice=notice, loses=loses)

    # Ray Train itself sees that a worker's node died, and says so.
    assert asyncio.run(end("c", "b", stopped=False)) == 3.0
    with pytest.raises(TrainingStopped):
        asyncio.run(end("c", "d", stopped=True))
