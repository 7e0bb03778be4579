"""Nodes that go away under a stage: without a word, or with a notice before.

Ray tells the owner of a task what its connections tell it. A machine that loses power or network closes none, and with
Ray 2.60 the owner waits for minutes for a task on it, long after the cluster knows that the node is dead. The notice
that a cloud gives before it takes a spot machine away reaches Ray as a *drain*: nothing new is placed on that node, and
what runs there is left to itself. Both are looked for here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import ray

from w2s_ray.stages.errors import cause_of
from w2s_ray.training.errors import TrainingStopped

_LOOK_SECONDS = 1.0

_log = logging.getLogger("w2s_ray.stages")


class NodeLostError(RuntimeError):
    """What became of a task cannot be heard any more.

    Args:
        had_begun: whether it was at work on the node, or possibly on its way there.
    """

    def __init__(self, had_begun: bool) -> None:
        super().__init__(had_begun)
        self.had_begun = had_begun

    def __str__(self) -> str:
        return "its node does not answer any more"


class TrainingMovedError(RuntimeError):
    """A training saved a checkpoint and ended, to go on in another place; says why."""


@dataclass
class _Try:
    """One that is waited for: what ends the wait, and where it works as far as is known."""

    lost: asyncio.Future[None]
    node: str | None = None
    workers: list[str] = field(default_factory=list)  # nodes of a group's workers
    in_doubt_since: float | None = None  # when another node died before this one had begun
    moves: str = ""  # why it was asked to


class Places:
    """The nodes on which the tasks of stages work, by address.

    Args:
        ask_to_stop: called with the address of a training that is to go on in another place: once a part of it runs on
            a node that was given notice, or `move` says so.
        look: returns the ids of the nodes that are dead, and of those that were given notice.
        doubt: seconds in which a task that found a place says so.
    """

    def __init__(
        self,
        ask_to_stop: Callable[[str], object],
        look: Callable[[], tuple[set[str], set[str]]] | None = None,
        doubt: float = 15.0,
    ) -> None:
        self._ask_to_stop, self._nodes, self._doubt = ask_to_stop, look or _nodes, doubt
        self._tries: dict[str, _Try] = {}
        self._dead: set[str] = set()
        self._watch: asyncio.Task[None] | None = None

    async def outcome(self, address: str, task: Awaitable[float]) -> float:
        """Returns what the task of a stage returns, or raises what it raised.

        Raises:
            NodeLostError: the node where it worked died, or any node while it had not begun anywhere.
            TrainingMovedError: it ended since it was asked to move.
        """
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._look())
        one = self._tries[address] = _Try(asyncio.get_running_loop().create_future())
        end = asyncio.ensure_future(_result(task))
        try:
            await asyncio.wait((end, one.lost), return_when=asyncio.FIRST_COMPLETED)
            if not end.done():
                raise NodeLostError(one.node is not None)
            return end.result()
        except Exception as error:
            if one.moves and cause_of(error, TrainingStopped):
                raise TrainingMovedError(one.moves) from error
            raise
        finally:
            end.cancel()
            del self._tries[address]

    def begun(self, address: str, node: str) -> None:
        """Takes the news where the task of a stage works."""
        if address in self._tries:
            self._tries[address].node = node

    def works(self, address: str, workers: int) -> bool:
        """Whether the task of a stage has found its place, or all `workers` of a group theirs."""
        one = self._tries.get(address)
        return one is not None and one.node is not None and (workers == 1 or len(one.workers) >= workers)

    def joined(self, address: str, node: str) -> None:
        """Takes the news where one of its workers works. Ray Train sees itself whether that dies."""
        if address in self._tries:
            self._tries[address].workers.append(node)

    def has_joined(self, address: str) -> bool:
        """Whether a worker of a stage works; before, its task waits for a place, or for another that makes the same."""
        return address in self._tries and bool(self._tries[address].workers)

    async def all_joined(self, address: str, count: int) -> None:
        """Returns once so many workers of a stage work."""
        while address not in self._tries or len(self._tries[address].workers) < count:
            await asyncio.sleep(_LOOK_SECONDS)

    def move(self, address: str, why: str) -> None:
        """Asks a training to save a checkpoint and end, once, so that it goes on in another place."""
        one = self._tries[address]
        if not one.moves:
            one.moves = why
            self._ask_to_stop(address)

    async def _look(self) -> None:
        while True:
            try:
                dead, leaving = await asyncio.to_thread(self._nodes)
            except Exception as error:  # a head that is away shows itself in many ways, and is the driver's affair
                _log.warning("the nodes of the cluster cannot be seen: %s", error)
            else:
                self._see(dead, leaving, time.monotonic())
            await asyncio.sleep(_LOOK_SECONDS)

    def _see(self, dead: set[str], leaving: set[str], now: float) -> None:
        one_died, self._dead = bool(dead - self._dead), dead
        for address, one in self._tries.items():
            if one.node is None and one.in_doubt_since is None and one_died:
                one.in_doubt_since = now  # it may have been on its way to that node, where it would wait as long
            if one.node in dead or (one.node is None and now - (one.in_doubt_since or now) > self._doubt):
                if not one.lost.done():
                    one.lost.set_result(None)
            elif leaving.intersection([one.node, *one.workers]):
                self.move(address, "its node was given notice")


async def _result(task: Awaitable[float]) -> float:
    return await task


def _nodes() -> tuple[set[str], set[str]]:
    dead = {str(node["NodeID"]) for node in ray.nodes() if not node["Alive"]}
    return dead, set(ray._private.state.state.get_draining_nodes())  # as Ray Train asks; nothing public says it
