"""Checkpoints that another machine can go on from: each is an object in the place of the one before.

What the bucket has is what counts; what was saved here and not sent is made again. Beside the checkpoint goes what the
process used so far, so that no look at it is lost with the machine.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

from w2s_ray.stages.object_store import CHECKPOINT, ObjectStore, work_key
from w2s_ray.stages.store import Store
from w2s_ray.stages.usage import USAGE
from w2s_ray.training.checkpoints import Checkpoints, Snapshot, step_of

_TAG = ".tag"


def checkpoints_of(store: Store, address: str, seconds: float, rank: int = 0) -> Checkpoints:
    """Returns the checkpoints of a stage that is being trained, as worker `rank` of a group sees them.

    Args:
        store: of the stage.
        address: of the stage.
        seconds: between two checkpoints.
        rank: the first worker's are saved, and any other only reads them.
    """
    folder = store.work(address) / "checkpoints"
    if not isinstance(store, ObjectStore):
        return Checkpoints(folder, seconds)
    if rank:
        return ReadCheckpoints(store, address, store.work(address) / f"worker-{rank}" / folder.name, seconds)
    return CarriedCheckpoints(store, address, folder, seconds)


class CarriedCheckpoints(Checkpoints):
    """Checkpoints in a folder of this machine and in a bucket.

    Args:
        store: with the bucket.
        address: of the stage.
        folder: of this machine's checkpoints.
        seconds, clock: as `Checkpoints` has them.
    """

    def __init__(
        self,
        store: ObjectStore,
        address: str,
        folder: Path,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(folder, seconds, clock)
        self._objects, self._address = store.objects, address

    def save(self, snapshot: Snapshot) -> Path:
        """Writes `snapshot` here and in the bucket. Raises StoreUnavailableError if it cannot be sent."""
        (self.folder / _TAG).unlink(missing_ok=True)  # until it is sent, what is here is not what the bucket has
        path = super().save(snapshot)
        usage = self.folder.with_name(USAGE)
        if usage.exists():
            self._objects.put(work_key(self._address, USAGE), usage.read_bytes())
        (self.folder / _TAG).write_text(self._objects.put(work_key(self._address, CHECKPOINT), path))
        self._last = self._clock()
        return path

    def resume(self) -> Snapshot | None:
        """Returns the checkpoint in the bucket, None if there is none or it is damaged."""
        self._bring()
        found = super().resume()
        if found is None and (self.folder / _TAG).exists():  # spoilt on this machine, it may be whole in the bucket
            (self.folder / _TAG).unlink()
            self._bring()
            found = super().resume()
        return found

    def _bring(self) -> None:
        """Has the bucket's checkpoint in the folder, and no other; with one that comes just now, what was used."""
        meta = self._objects.head(work_key(self._address, CHECKPOINT))
        tag = self.folder / _TAG
        if meta is not None and tag.exists() and tag.read_text() == meta.tag:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if meta is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f"{uuid.uuid4().hex}.tmp"
        fetched = self._objects.fetch(work_key(self._address, CHECKPOINT), draft)
        with suppress(SafetensorError, ValueError, KeyError, TypeError, OSError, RecursionError):  # it is of no use
            os.replace(draft, self.folder / f"step-{step_of(draft):09d}.safetensors")
            tag.write_text(fetched.tag if fetched else "")
        draft.unlink(missing_ok=True)
        self._bring_usage()

    def _bring_usage(self) -> None:
        usage = self.folder.with_name(USAGE)
        content = self._objects.get(work_key(self._address, USAGE))
        here = usage.read_bytes() if usage.exists() else b""
        if content and content not in here:
            usage.write_bytes(content + here)


class ReadCheckpoints(CarriedCheckpoints):
    """Checkpoints in a bucket that another worker of the same group saves.

    Each brings them for itself, since two may be on one machine, and has no use for them once they are read. So the
    folder is in one that is this worker's own.
    """

    def resume(self) -> Snapshot | None:
        """Returns what the first worker goes on from."""
        try:
            return super().resume()
        finally:
            shutil.rmtree(self.folder.parent, ignore_errors=True)
