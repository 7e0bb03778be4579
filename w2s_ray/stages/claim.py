"""Who makes a stage: one process at a time, also among several drivers on one store.

A claim is a lock that the system drops when its process ends, however that is; for a store in a bucket, whose machines
share no file, there is an object beside it that says so. Who waited for one looks into the store again: most often the
stage is there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from w2s_ray.stages.locks import ObjectLock
from w2s_ray.stages.object_store import ObjectStore, work_key
from w2s_ray.stages.store import Store


@contextmanager
def claim(store: Store, address: str) -> Iterator[None]:
    """Waits until nobody else makes the stage, and keeps others from it during the block."""
    with _on_this_machine(store, address):
        if not isinstance(store, ObjectStore):
            yield
            return
        lock = ObjectLock(store.objects, work_key(address, "claim"))
        lock.wait()
        with lock.held():  # whoever takes it from one that is not heard of makes the same, and one of them wins
            yield


@contextmanager
def _on_this_machine(store: Store, address: str) -> Iterator[None]:
    path = store.root / "work" / f"{address}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file.fileno(), path):
                continue  # the last holder removed the file, so this lock keeps nobody out
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
