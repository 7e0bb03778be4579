"""Who makes a stage: one process at a time, also among several drivers on one store.

A claim is a lock that the system drops when its process ends, however that is; for a store in a bucket, whose machines
share no file, there is an object beside it that says so. Who waited for one looks into the store again: most often the
stage is there.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from w2s_ray.stages.errors import StoreUnavailableError, store_errors
from w2s_ray.stages.locks import ObjectLock
from w2s_ray.stages.object_store import ObjectStore, work_key
from w2s_ray.stages.store import Store

_LOOK_SECONDS = 0.2  # between two tries; Ray cannot cancel a task that waits within the system


@contextmanager
def claim(store: Store, address: str, *, wait: bool = True) -> Iterator[bool]:
    """Keeps others from making the stage during the block, and gives whether it does.

    Args:
        store: of the stage.
        address: of the stage.
        wait: until nobody else makes it; if not, it may be that somebody does.
    """
    with _on_this_machine(store, address, wait=wait) as is_held:
        if not is_held or not isinstance(store, ObjectStore):
            yield is_held
            return
        lock = ObjectLock(store.objects, work_key(address, "claim"))
        if wait:
            lock.wait()
        elif not lock.take():
            yield False
            return
        with lock.held():  # whoever takes it from one that is not heard of makes the same, and one of them wins
            yield True


def drop_unclaimed(store: Store, address: str) -> None:
    """Removes the work on a stage that was given up, unless somebody else makes it: then it is theirs.

    What cannot be removed now is left to `w2s gc`.
    """
    doing = f"removing the work on {address}"
    with suppress(StoreUnavailableError), store_errors(store.root, doing):
        store.must_exist(doing)
        with claim(store, address, wait=False) as is_held:
            if is_held:
                store.drop_work(address)


@contextmanager
def _on_this_machine(store: Store, address: str, *, wait: bool) -> Iterator[bool]:
    path = store.root / "work" / f"{address}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as file:
            # One that the last holder has removed keeps nobody out.
            if _locks(file.fileno()) and _is_at(file.fileno(), path):
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)
                return
        if not wait:
            yield False
            return
        time.sleep(_LOOK_SECONDS)


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
