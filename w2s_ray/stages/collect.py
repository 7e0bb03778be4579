"""What in a store nobody needs: said first, removed only when asked.

A stage is needed if a study or a spec refers to it, or if a needed stage read it. What cannot be told apart is kept.
Nothing here puts aside or mends; a stage vanishes from its place in one step, before its files are deleted. All of it
works on a full disk: what goes without anything being written comes first.
"""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from w2s_ray.machine import is_alive, system_id
from w2s_ray.stages.artifacts import WEIGHTS
from w2s_ray.stages.integrity import ASIDE, read_record, sha256_of
from w2s_ray.stages.record import RECORD, DamageError, StageRecord
from w2s_ray.stages.store import Store

_ADDRESS = re.compile(r"[0-9a-f]{16,64}")
_DRAFT = re.compile(r"\.[0-9a-f]{16,64}-(?:(?P<pid>\d+)@(?P<system>.+)-)?[^-]+")
_DAY = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class References:
    """What the sweeps of a store need.

    Attributes:
        needed: addresses that studies and specs name; what those stages read is needed with them.
        keepers: sweeps whose stages are all kept, since it cannot be told which they need.
        given_up: addresses of pruned students, whose checkpoints nobody will go on from.
        without_weights: addresses of needed stages whose weights are not.
    """

    needed: frozenset[str] = frozenset()
    keepers: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    without_weights: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Garbage:
    """One thing that can go: a `stage`, `weights`, a `checkpoint`, a `draft`, what was put `aside`, or `scratch`."""

    kind: str
    path: Path
    size: int
    why: str


def find_garbage(store: Store, references: References) -> list[Garbage]:
    """Returns all that nobody needs, and changes nothing.

    Raises:
        OSError: the store cannot be read.
    """
    records = dict(_records(store))
    needed = with_inputs(references, records)
    return [
        *(_garbage("aside", path, "was found damaged") for path in _entries(store.root / ASIDE)),
        *_drafts(store),
        *_work(store, records, references, needed),
        *_stages(store, records, needed),
        *_weights(store, records, references.without_weights & needed),
    ]


def tidy(store: Store) -> None:
    """Removes what killed processes left: drafts of dead writers, and work folders of finished stages."""
    work = _entries(store.root / "work")
    named = [(one, one.name.removesuffix(".lock")) for one in work]
    finished = [_garbage("checkpoint", one, "") for one, name in named if _ADDRESS.fullmatch(name) and store.has(name)]
    for garbage in [*finished, *_drafts(store)]:
        remove(store, garbage)


def remove(store: Store, garbage: Garbage) -> None:
    """Removes one thing; what is already gone is no error."""
    if garbage.kind == "weights":
        with suppress(FileNotFoundError):
            drop_file(store.place(garbage.path.parent.name), garbage.path.name)
        return
    path = _taken_away(store, garbage.path) if garbage.kind == "stage" else garbage.path
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _taken_away(store: Store, place: Path) -> Path:
    """Takes a stage out of its place in one step; returns where its files are then."""
    target = store.root / ASIDE / f"{place.name}-removed-{time.time_ns()}"
    try:
        target.parent.mkdir(exist_ok=True)
        place.rename(target)
    except FileNotFoundError:
        pass  # someone else did it
    except OSError as error:
        if error.errno not in _FULL:
            raise
        (place / RECORD).unlink(missing_ok=True)  # there is no room for a name; without its record it is no stage
        return place
    return target


def drop_file(place: Path, name: str) -> None:
    """Removes a file of a finished stage, which stays whole without it; its record says so first.

    On a full disk it says so second, in the file's room: a process killed in between leaves a damaged stage.
    """
    record = read_record(place)
    if name in record.files:
        try:
            _rewrite(place, without_file(record, name))
        except OSError as error:
            if error.errno not in _FULL:
                raise
            (place / name).unlink(missing_ok=True)
            _rewrite(place, without_file(record, name))
    (place / name).unlink(missing_ok=True)


def _rewrite(place: Path, record: StageRecord) -> None:
    beside = place / f".{RECORD}.{os.getpid()}"
    try:
        beside.write_text(record.to_json(), encoding="utf-8")
        sha256_of(beside, sync=True)
        beside.replace(place / RECORD)
    finally:
        beside.unlink(missing_ok=True)


def without_file(record: StageRecord, name: str) -> StageRecord:
    """Returns the record of a stage from which a file is removed."""
    files = {one: sha256 for one, sha256 in record.files.items() if one != name}
    sizes = {one: size for one, size in record.sizes.items() if one != name}
    return replace(record, files=files, sizes=sizes, dropped=(*record.dropped, name))


def _records(store: Store) -> Iterator[tuple[str, StageRecord | None]]:
    """Yields each stage's address and record, None for a damaged one."""
    for path in _entries(store.root / "stages"):
        if _ADDRESS.fullmatch(path.name):
            try:
                yield path.name, read_record(path)
            except DamageError:
                yield path.name, None


def with_inputs(references: References, records: dict[str, StageRecord | None]) -> set[str]:
    """Returns the addresses of all stages that are needed."""
    made = (address for address, record in records.items() if record and record.made_by in references.keepers)
    open_ends = [*references.needed, *made]
    needed: set[str] = set()
    while open_ends:
        address = open_ends.pop()
        record = records.get(address)
        if address not in needed and record is not None:
            open_ends += record.inputs
        needed.add(address)
    return needed


def _stages(store: Store, records: dict[str, StageRecord | None], needed: set[str]) -> Iterator[Garbage]:
    for address in records:
        if address not in needed:
            yield _garbage("stage", store.place(address), "no sweep refers to it")


def _weights(store: Store, records: dict[str, StageRecord | None], addresses: Iterable[str]) -> Iterator[Garbage]:
    for address in sorted(addresses):
        path = store.place(address) / WEIGHTS
        if records.get(address) is not None and path.is_file():
            yield _garbage("weights", path, "of a pruned student, or not among the best")


def _work(
    store: Store, records: dict[str, StageRecord | None], references: References, needed: set[str]
) -> Iterator[Garbage]:
    for path in _entries(store.root / "work"):
        if path.name.startswith("tune-"):
            yield _garbage("scratch", path, "of a driver that is gone")
        elif not _ADDRESS.fullmatch(path.name):
            continue
        elif records.get(path.name) is not None:
            yield _garbage("checkpoint", path, "the stage is finished")
        elif path.name in references.given_up:
            yield _garbage("checkpoint", path, "the student was pruned")
        elif path.name not in needed and not references.keepers:
            yield _garbage("checkpoint", path, "no sweep refers to it")


def _drafts(store: Store) -> Iterator[Garbage]:
    for path in _entries(store.root / "stages"):
        match = _DRAFT.fullmatch(path.name)
        if match is None:
            continue
        if match["pid"] and match["system"] == system_id():  # a living one may touch nothing for days
            if not is_alive(int(match["pid"])):
                yield _garbage("draft", path, "its writer is gone")
        elif time.time() - _newest(path) > _DAY:
            yield _garbage("draft", path, "untouched for a day")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _garbage(kind: str, path: Path, why: str) -> Garbage:
    return Garbage(kind, path, sum(one.st_size for one in _stats(path) if not stat.S_ISDIR(one.st_mode)), why)


def _newest(path: Path) -> float:
    return max((one.st_mtime for one in _stats(path)), default=time.time())


def _stats(path: Path) -> Iterator[os.stat_result]:
    """Yields the stats of `path` and of all below it that is still there."""
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    for one in (path, *below):
        with suppress(FileNotFoundError):
            yield one.lstat()
