"""Whether a stage's files are what was published, and where a damaged stage goes.

Looking for a stage costs one small read and a stat for each file. The checksum of a file is compared when a process
first uses it, and again when the file's size or times have changed. A damaged stage is moved to `aside/`, so that a
person can look at it, and its place is free for a new one.
"""

import contextlib
import hashlib
import logging
import os
import time
from functools import lru_cache
from pathlib import Path

from w2s_ray.stages.record import RECORD, DamageError, StageRecord

ASIDE = "aside"

_log = logging.getLogger("w2s_ray.stages")


def read_record(place: Path) -> StageRecord:
    """Reads the record of the stage in `place` and looks at its files' sizes, not into them.

    Raises:
        DamageError: the record or a file is not what was published.
        OSError: the store cannot be read.
    """
    try:
        content = (place / RECORD).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DamageError(f"has no {RECORD}") from error
    record = StageRecord.from_json(content, place.name)
    for name in record.files:
        size = _stat(place / name).st_size
        if size != record.sizes.get(name, size):
            raise DamageError(f"has a {name} of {size} bytes instead of {record.sizes[name]}")
    return record


def check_file(path: Path, sha256: str) -> None:
    """Compares a file with its checksum, anew if it has changed since. Raises DamageError if it is another or gone."""
    stat = _stat(path)
    found = _sha256_then(str(path), stat.st_size, stat.st_mtime_ns)
    if found != sha256:
        raise DamageError(f"has a {path.name} whose checksum is {found[:12]} instead of {sha256[:12]}")


def check_stage(place: Path) -> None:
    """Checks a stage and all its files. Raises DamageError."""
    record = read_record(place)
    for name, sha256 in record.files.items():
        check_file(place / name, sha256)


def forget_checked() -> None:
    """Makes this process look into every file again, as a new one would."""
    _sha256_then.cache_clear()


def put_aside(place: Path, inode: int, reason: str) -> None:
    """Moves a damaged stage out of the way and warns; if it cannot be moved, only warns.

    Args:
        place: the stage's folder.
        inode: of the folder that was found damaged.
        reason: goes on from "stage ADDRESS ...".
    """
    target = place.parent.parent / ASIDE / f"{place.name}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09d}"
    try:
        target.parent.mkdir(exist_ok=True)
        place.rename(target)
    except FileNotFoundError:
        return  # someone else did it
    except OSError as error:
        _log.warning("stage %s %s, and cannot be put aside: %s", place.name, reason, error)
        return
    if target.stat().st_ino != inode and _is_whole(target, place.name):
        # Made again between the look and the move: this one is the good one.
        with contextlib.suppress(OSError):
            target.rename(place)
        return
    _log.warning("stage %s %s; it was put aside to %s and will be made again when needed", place.name, reason, target)


def sha256_of(path: Path, *, sync: bool = False) -> str:
    """Returns the sha256 of a file's content; with `sync` only after it has reached the disk."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@lru_cache(maxsize=1000)  # a driver reads a file of every trial, most of them once
def _sha256_then(path: str, size: int, changed: int) -> str:
    return sha256_of(Path(path))


def _stat(path: Path) -> os.stat_result:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise DamageError(f"has no {path.name!r}") from error
    if not path.is_file():
        raise DamageError(f"has a {path.name!r} that is no file")
    return stat


def _is_whole(moved: Path, address: str) -> bool:
    try:
        StageRecord.from_json((moved / RECORD).read_bytes(), address)
    except (DamageError, OSError):
        return False
    return True
