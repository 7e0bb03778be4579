"""The broker: one actor that every trial asks for stages, so that nobody trains the same thing twice at the same time.

Stored: here it is. Running: wait for the same run. New: first its inputs, then a Ray task. The broker remembers nothing
that matters; if it dies, the store still knows what is finished, and the rest is asked for and started again. A stage
that is found damaged when another reads it is made again, and then the other; one whose try ended badly is tried again
as `attempts` says. What it did is in the sweep's `diary`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import count, takewhile
from typing import Any

import ray
from ray.exceptions import TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from w2s_ray.redacting import redact_output
from w2s_ray.spec import replace as changed
from w2s_ray.spec.resources import NodeKinds
from w2s_ray.stages.again import AGAIN
from w2s_ray.stages.attempts import Attempts, explained, found_no_place, innermost, reason_of
from w2s_ray.stages.claim import drop_unclaimed
from w2s_ray.stages.devices import with_gpus
from w2s_ray.stages.diary import Diary
from w2s_ray.stages.errors import MissingStageError, cause_of
from w2s_ray.stages.nodes import NodeLostError, Places
from w2s_ray.stages.open import open_store
from w2s_ray.stages.room import place_of, room, width_for
from w2s_ray.stages.run import run_once, run_warm
from w2s_ray.stages.stage import ExtractFeatures, Finetune, Stage, walk
from w2s_ray.stages.store import Store

_log = logging.getLogger("w2s_ray.stages")


class Broker:
    """Made a Ray actor by `start_broker`; all methods run on one event loop.

    Args:
        root: the store's folder or URI.
        made_by: the sweep's name, kept with the stages it runs.
        patience: seconds that an unusable store is waited for.
        kinds: of the nodes there are or may be.
    """

    def __init__(self, root: str, made_by: str, patience: float, kinds: NodeKinds) -> None:
        redact_output()
        self._store = open_store(root)
        self._made_by = made_by
        self._diary = Diary(self._store, made_by)
        self._patience, self._kinds = patience, kinds
        self._waiting: dict[str, str] = {}  # address of a stage to why its next try has to wait
        # Stages asked for and not finished, by address: the run that makes them, and the stage that leads it.
        self._pending: dict[str, tuple[asyncio.Future[None], str]] = {}
        # Those of them that Ray has, with their task, or that look how wide they can be.
        self._tasks: dict[str, tuple[Stage, Any]] = {}
        self._stops: dict[str, asyncio.Event] = {}  # of those tasks: whether they are to save and end, or are over
        self._places = Places(self._ask_to_stop)
        self._wanted: dict[str, set[int]] = defaultdict(set)  # the trials that wait for a stage
        self._progress: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)  # rows by number
        self._judged: set[int] = set()  # open trials that hand in their outcome
        self._turns = asyncio.Condition()  # told whenever a trial was added to them, or has ended
        self._draining = False

    async def produce(self, stage: Stage, trial: int) -> None:
        """Returns when `stage` and all it reads are in the store. Raises what its training raised."""
        for needed in walk(stage):
            self._wanted[needed.address].add(trial)
        await self._produce(stage)

    async def _produce(self, stage: Stage) -> None:
        batch = [stage, *_together(stage)]
        while stage.address in self._pending or not self._store.has(stage.address):
            if stage.address not in self._pending:
                self._start([one for one in batch if one == stage or not self._is_there(one)])
            future, leader = self._pending[stage.address]
            try:
                # Shielded, since the run serves others when this asker goes away.
                await asyncio.shield(future)
            except Exception:
                if leader == stage.address:
                    raise
                batch = [stage]  # another stage of the batch could not be made; this one is tried alone

    def _is_there(self, stage: Stage) -> bool:
        return stage.address in self._pending or self._store.has(stage.address)

    def _start(self, batch: list[Stage]) -> None:
        future = asyncio.ensure_future(self._run(batch))
        self._pending.update(dict.fromkeys((one.address for one in batch), (future, batch[0].address)))

    async def _run(self, batch: list[Stage]) -> None:
        try:
            await self._make(batch)
        except Exception:
            if len(batch) == 1:
                raise
            await self._make(batch[:1])  # the fault may be another's, such as a depth that the model lacks
        finally:
            for stage in batch:
                self._waiting.pop(stage.address, None)
                self._pending.pop(stage.address, None)
                self._progress.pop(stage.address, None)

    async def _make(self, batch: list[Stage]) -> None:
        """Makes a batch; an input that is found missing or damaged is made again first, a few times at most."""
        for left in reversed(range(AGAIN + 1)):
            try:
                await self._attempt(batch)
            except Exception as error:
                missing = cause_of(error, MissingStageError)
                if missing is None or not left:
                    raise
                self._store.forget(missing.address)
                _log.warning("%s is made again, then %s: %s", missing.address, batch[0].execution.label, missing)
            else:
                return

    async def _attempt(self, batch: list[Stage]) -> None:
        await asyncio.gather(*(self._produce(needed) for needed in batch[0].inputs.values()))
        await self._try_again(batch)

    async def _try_again(self, batch: list[Stage]) -> None:
        """Runs a batch whose inputs are there, however often that takes within its budget.

        Before each try it looks whether there is anything to do: another sweep may have made the stages meanwhile, or
        the process died between finishing them and saying so.
        """
        stage, attempts = batch[0], Attempts(batch[0].execution.resources.retries, self._patience)
        while not all(self._store.has(one.address) for one in batch):
            try:
                await self._try(batch)
            except Exception as error:
                pause = attempts.pause_after(error, self._store.newest_checkpoint(stage.address))
                if isinstance(innermost(error), TaskCancelledError):
                    pause = 0.0  # nobody wanted it, but by now somebody may
                if self._is_given_up(stage) and not self._draining:
                    await asyncio.to_thread(drop_unclaimed, self._store, stage.address)
                is_over = pause is None or self._draining or stage.address not in self._wanted
                if not (self._draining or found_no_place(error)):  # the one was asked for, the other tried nothing
                    self._diary.failed(stage, error, again=not is_over)
                if is_over:
                    meant = explained(error, stage.execution.label)
                    if meant is error:
                        raise
                    raise meant from error
                self._waiting[stage.address] = reason_of(error).splitlines()[0]
                await asyncio.sleep(pause or 0.0)
            else:
                return

    async def _try(self, batch: list[Stage]) -> None:
        if self._draining:
            raise RuntimeError(f"{batch[0].execution.label} is not started, since the sweep is being stopped")
        if self._is_given_up(batch[0]):
            raise TaskCancelledError
        wanted, batch = batch[0], await self._in_its_width([with_gpus(one, self._kinds) for one in batch])
        task = self._submit(batch)
        self._waiting.pop(batch[0].address, None)
        self._tasks[batch[0].address] = (batch[0], task)
        self._stops[batch[0].address] = asyncio.Event()
        worked: float | None = None
        growth = asyncio.ensure_future(self._grow(batch[0], wanted.execution.resources.workers))
        try:
            worked = await self._places.outcome(batch[0].address, task)
        except NodeLostError:
            ray.cancel(task)  # it may wait for a place on another node
            raise
        finally:
            growth.cancel()
            del self._tasks[batch[0].address]
            self._stops.pop(batch[0].address).set()  # for a process that is not heard of, and may be at work
            self._diary.ended(batch[0], worked)

    def _is_given_up(self, stage: Stage) -> bool:
        return stage.execution.private and stage.address not in self._wanted

    async def _in_its_width(self, batch: list[Stage]) -> list[Stage]:
        """Returns a batch with as many workers as there is room for now, where it may have fewer than it asks for."""
        stage, resources = batch[0], batch[0].execution.resources
        if not resources.is_elastic:
            return batch
        looking = asyncio.ensure_future(width_for(resources))
        self._tasks[stage.address] = (stage, looking)
        try:
            width = await looking
        except asyncio.CancelledError:
            raise TaskCancelledError from None
        finally:
            del self._tasks[stage.address]
        return [one.with_workers(width) for one in batch]

    async def _grow(self, stage: Stage, most: int) -> None:
        """Waits for room for more workers than a training has, and asks it to go on with them."""
        resources = stage.execution.resources
        if resources.workers == most:
            return
        await self._places.all_joined(stage.address, resources.workers)  # before, they look for places themselves
        async with room(resources, most - resources.workers, fewest=1) as more:
            self._places.move(stage.address, f"there is room for {more} more of its workers")
            await asyncio.Event().wait()  # the places are its own until it has ended, which ends this

    def _submit(self, batch: list[Stage]) -> Any:
        self._diary.started(batch)
        resources = batch[0].execution.resources
        # The workers of a group bring their resources; the task that leads them takes none.
        place = place_of(resources) if resources.workers == 1 else {"num_cpus": 0}
        run = run_once if place.get("num_gpus") else run_warm
        task = run.options(**place, name=batch[0].execution.label)
        return task.remote(batch, self._store.uri, self._made_by, ray.get_runtime_context().current_actor)

    async def begun(self, address: str, node: str) -> None:
        """Takes the news that a stage's work begins: it had a place, and no other process makes the same."""
        self._places.begun(address, node)
        if address in self._tasks:
            self._diary.begun(self._tasks[address][0])

    async def joined(self, address: str, node: str) -> None:
        """Takes the news that a worker of a group begins."""
        self._places.joined(address, node)

    async def stopping(self, address: str) -> None:
        """Returns once the training of a stage that runs now is to save and end."""
        if address in self._stops:
            await self._stops[address].wait()

    async def note(self, address: str, number: int, row: dict[str, Any]) -> None:
        """Takes row `number` of a running stage's learning curve; a training that goes on tells them all again."""
        self._progress[address].setdefault(number, row)

    async def progress(self, address: str, after: int) -> list[dict[str, Any]]:
        """Returns the rows of a stage's learning curve that are known by now, from the steps beyond `after`.

        Up to the first that is still on its way: Ray keeps no order among calls of this actor, and who has seen a row
        never asks for those before it again.
        """
        # Asked again and again while the stage is made, and a look into a bucket is a request.
        stored = None if address in self._pending else self._store.read(address)
        try:
            rows = stored.curve() if stored else _without_a_gap(self._progress[address])
        except MissingStageError:
            rows = []  # found damaged and put aside; whoever wants the stage asks for it again
        return [row for row in rows if row["step"] > after]

    async def drain(self) -> None:
        """Asks every training to save a checkpoint and end, and returns when all have.

        Other stages are cancelled, and trainings that wait for a place, or for another driver that makes the same.
        """
        self._draining = True
        for stage, task in list(self._tasks.values()):
            if not (self._places.has_joined(stage.address) and self._ask_to_stop(stage.address)):
                _cancel(task)
        while self._tasks:
            await asyncio.sleep(0.1)

    async def turn(self, trial: int) -> None:
        """Returns once every open trial with a lower number has been here, or has ended.

        Results enter the study in order, so an outcome that came early would only cost its trial's process: Tune ends
        one for which it has no next trial, and a new one takes a second or two of CPU.
        """
        async with self._turns:
            await self._turns.wait_for(lambda: not self._is_open_before(trial))
            self._judged.add(trial)
            self._turns.notify_all()

    def _is_open_before(self, trial: int) -> bool:
        return any(0 <= number < trial for number in set().union(*self._wanted.values()) - self._judged)

    def _ask_to_stop(self, address: str) -> bool:
        """Asks a training that runs to save a checkpoint and end; returns False for a stage that cannot.

        That is left to itself where its node was given notice: it may be ready in time, and if not it is lost with it.
        """
        stage, _ = self._tasks[address]
        if not isinstance(stage.settings, Finetune):
            return False
        self._stops[address].set()
        return True

    async def release(self, trial: int) -> None:
        """Forgets what `trial` wanted; a private stage that nobody else wants is cancelled."""
        self._judged.discard(trial)
        for address, trials in list(self._wanted.items()):
            trials.discard(trial)
            if trials:
                continue
            del self._wanted[address]
            stage, task = self._tasks.get(address, (None, None))
            if stage is not None and stage.execution.private:
                _cancel(task)
        async with self._turns:
            self._turns.notify_all()

    async def running(self) -> list[str]:
        """Returns the labels of the stages that run, then of those that wait for their turn, and why some have to."""
        stages = [stage for stage, _ in self._tasks.values()]
        works = {one.address for one in stages if self._places.works(one.address, one.execution.resources.workers)}
        ordered = sorted((stage.address not in works, _shown(stage)) for stage in stages)
        labels = [f"{label} (waits)" if waits else label for waits, label in ordered]
        return labels + [f"paused ({reason})" for reason in sorted(set(self._waiting.values()))]


def _without_a_gap(rows: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[number] for number in takewhile(rows.__contains__, count())]


def _cancel(task: Any) -> None:
    """Cancels a task of Ray, or one of the broker's own."""
    task.cancel() if isinstance(task, asyncio.Future) else ray.cancel(task)


def _shown(stage: Stage) -> str:
    """A stage's label, with its workers where they may be more or fewer."""
    resources = stage.execution.resources
    has_a_range = resources.min_workers is not None  # also where this try has the fewest
    return f"{stage.execution.label} on {resources.workers} workers" if has_a_range else stage.execution.label


def _together(stage: Stage) -> Iterable[Stage]:
    """The stages made in one go with `stage`: the features of other depths of the same model."""
    settings = stage.settings
    if isinstance(settings, ExtractFeatures):
        for depth in stage.execution.depths:
            if depth != settings.model.depth:
                yield replace(stage, settings=changed(settings, model=changed(settings.model, depth=depth)))


def start_broker(store: Store, made_by: str, patience: float = 60.0, kinds: NodeKinds = ()) -> Any:
    """Starts the broker of one driver and returns its handle. It holds no CPU and is restarted if it dies.

    It lives on the driver's node: any other may be preempted, and all that it started with it. A soft affinity is not
    kept: with Ray 2.60 half of the actors with one to a head without CPUs were placed elsewhere.
    """
    store.make()
    actor = ray.remote(Broker)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {
        "num_cpus": 0,
        "scheduling_strategy": here,
        "max_restarts": -1,
        "max_task_retries": -1,
        "max_concurrency": 10_000,
    }
    return actor.options(**options).remote(store.uri, made_by, patience, kinds)
