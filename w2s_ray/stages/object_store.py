"""A store in a bucket, with a copy on each machine of what was made or read there.

    stages/<address>/stage.json       written last: with it the stage is there, before it is not
    stages/<address>/<attempt>/...    the files of the writer that stage.json names
    work/<address>/...                the newest checkpoint of an unfinished stage, its claim, and the wish to stop
    aside/<address>-*.json            what stage.json said of stages that were found damaged
    sweeps/<name>/...                 spec, lines and report of a sweep; its study is in a database

An object store has no rename and no lock, so each writer of a stage uploads below a name of its own, and who writes
stage.json first wins: the server sees to that. Keys are known, never looked for in a listing. A finished stage does not
change, so the copy (`root`) answers for it; a file comes when it is first read. The copy may be removed at any time.
"""

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2s_ray.assets import cache_folder
from w2s_ray.bucket_uri import normalised
from w2s_ray.files import from_json, write_whole
from w2s_ray.stages.errors import MARKER, DamagedStageError, StoreUnavailableError, must_exist, store_errors
from w2s_ray.stages.integrity import check_file
from w2s_ray.stages.objects import Objects, in_parallel
from w2s_ray.stages.record import RECORD, DamageError, StageRecord
from w2s_ray.stages.store import Store, StoredStage
from w2s_ray.stages.sweep_files import SweepFiles
from w2s_ray.stages.usage import USAGE, Look, parse_usage
from w2s_ray.training.errors import STOP

CHECKPOINT = "checkpoint.safetensors"
_MEETINGS: dict[str, float] = {}  # URI to when this process last saw that the store is there
_MEETING_SECONDS = 30.0
_log = logging.getLogger("w2s_ray.stages")


@dataclass(frozen=True)
class RemoteStage(StoredStage):
    """A finished stage in a bucket; `path` holds those of its files that were read on this machine."""

    store: "ObjectStore" = field(kw_only=True)
    content: bytes = field(kw_only=True, repr=False)

    def put_aside(self, reason: str) -> None:
        """Takes the stage out of the way of all machines."""
        self.store.put_aside(self.record.address, self.content, reason)

    def _bring(self, name: str) -> None:
        path, sha256 = self.path / name, self.record.files[name]
        if path.exists():
            try:
                return check_file(path, sha256)
            except DamageError:  # of the copy; the object may be well
                path.unlink(missing_ok=True)
        draft = path.with_name(f".{name}.{uuid.uuid4().hex[:8]}")
        try:
            self._fetch(name, draft)
            os.replace(draft, path)
            check_file(path, sha256)
        except DamageError:
            path.unlink(missing_ok=True)
            raise
        finally:
            draft.unlink(missing_ok=True)
        return None

    def _fetch(self, name: str, draft: Path) -> None:
        address = self.record.address
        if self.store.objects.fetch(f"stages/{address}/{attempt_in(self.content)}/{name}", draft) is not None:
            return
        if self.store.objects.get(marker_key(address)) != self.content:
            self.store.forget(address)
            raise DamagedStageError(address, f"is another by now, without the {name} that was asked for")
        raise DamageError(f"has no {name!r}")


class ObjectStore(Store):
    """The finished stages below a URI. Cheap to construct; may cross processes and machines."""

    def __init__(self, uri: str) -> None:
        named = normalised(uri)
        super().__init__(cache_folder() / "stores" / hashlib.sha256(named.encode()).hexdigest()[:16])
        self.uri = named
        self.objects = Objects(named)

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectStore, (self.uri,)  # the copy of another machine may be elsewhere

    def make(self) -> None:
        """Writes the object that tells this store from an empty place, if it is missing."""
        self.objects.create(MARKER, uuid.uuid4().hex.encode())
        _MEETINGS.pop(self.uri, None)
        self.must_exist("opening the store")

    def must_exist(self, doing: str) -> None:
        """Raises StoreUnavailableError if the store is gone; drops a copy of one that was there before."""
        if time.monotonic() - _MEETINGS.get(self.uri, float("-inf")) < _MEETING_SECONDS:
            return must_exist(self.root, doing)
        name = self.objects.get(MARKER)
        if name is None:
            reason = f"the store {self.uri} is gone ({doing}): {MARKER} is missing. Was it emptied? Run the sweep again"
            raise StoreUnavailableError(2, reason)
        self._copy_is_of(name)
        _MEETINGS[self.uri] = time.monotonic()
        return None

    def _copy_is_of(self, name: bytes) -> None:
        mark = self.root / MARKER
        if mark.exists() and mark.read_bytes() != name:
            old = self.root.with_name(f".{self.root.name}-{uuid.uuid4().hex[:8]}")
            with suppress(FileNotFoundError):
                self.root.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        if not mark.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            write_whole(mark, name)

    def read(self, address: str) -> StoredStage | None:
        """Returns a finished stage, or None. One that is seen to be damaged is put aside and counts as not there."""
        place = self.place(address)
        with store_errors(self.root, f"reading stage {address}"):
            content = _content(place / RECORD)
            record = whole_in(content, address)
            if content is None or record is None:
                content = self.objects.get(marker_key(address))
                if content is None:
                    return None
                try:
                    record = record_in(content, address)
                except DamageError as damage:
                    self.put_aside(address, content, str(damage))
                    return None
                place.mkdir(parents=True, exist_ok=True)
                write_whole(place / RECORD, content)
        return RemoteStage(place, record, 0, store=self, content=content)

    def read_all(self, addresses: Iterable[str]) -> dict[str, StoredStage | None]:
        """Returns what `read` does for each address; those that the copy does not know are asked for at once."""
        wanted = list(dict.fromkeys(addresses))
        return dict(zip(wanted, in_parallel(self.read, wanted), strict=True))

    def forget(self, address: str) -> None:
        """Makes the next look at a stage a new one."""
        (self.place(address) / RECORD).unlink(missing_ok=True)

    def put_aside(self, address: str, content: bytes, reason: str) -> None:
        """Takes a damaged stage out of the way, unless its stage.json is another than `content` by now."""
        if self.objects.get(marker_key(address)) == content:
            key = f"aside/{address}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.json"
            self.objects.put(key, content)
            self.objects.delete(marker_key(address))
            _log.warning("stage %s %s; it was put aside to %s and will be made again", address, reason, key)
        shutil.rmtree(self.place(address), ignore_errors=True)

    def _keep(self, address: str, draft: Path) -> None:
        attempt = uuid.uuid4().hex
        content = json.dumps({**json.loads((draft / RECORD).read_bytes()), "attempt": attempt}, indent=1).encode()
        names = [path.name for path in draft.iterdir() if path.name != RECORD]
        keys = [f"stages/{address}/{attempt}/{name}" for name in names]
        try:
            in_parallel(lambda name: self.objects.put(f"stages/{address}/{attempt}/{name}", draft / name), names)
            has_won = self._mark(address, content)
        except BaseException:
            with suppress(StoreUnavailableError):
                self.objects.delete(*keys)
            raise
        if not has_won:
            return self.objects.delete(*keys)
        place = self.place(address)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(draft / name, place / name)
        return write_whole(place / RECORD, content)

    def _mark(self, address: str, content: bytes) -> bool:
        """Makes the stage be there; False if one is there by now, which holds the same."""
        for _ in range(3):
            if self.objects.create(marker_key(address), content) is not None:
                return True
            self.forget(address)
            if self.read(address) is not None:  # it puts aside what is damaged
                return False
        raise StoreUnavailableError(17, f"{self.uri}/{marker_key(address)} is damaged and cannot be moved; remove it")

    def drop_work(self, address: str) -> None:
        """Removes the checkpoint of a stage, here and in the bucket, and all else of its work but its claim."""
        super().drop_work(address)
        self.objects.delete(*(work_key(address, name) for name in (CHECKPOINT, USAGE, STOP)))

    def newest_checkpoint(self, address: str) -> str | None:
        """Returns what tells the newest checkpoint of a stage from those before it; None if there is none."""
        meta = self.objects.head(work_key(address, CHECKPOINT))
        return meta.tag if meta else None

    def usage(self, address: str) -> list[Look]:
        """Returns what the processes of an unfinished stage used: those here, else as of the last checkpoint."""
        here = super().usage(address)
        content = None if here else self.objects.get(work_key(address, USAGE))
        return parse_usage(content.decode(errors="replace")) if content else here

    def ask_to_stop(self, address: str) -> None:
        """Asks a stage's training, on whatever machine, to save and end."""
        self.objects.put(work_key(address, STOP), b"")

    def take_back_stop(self, address: str) -> None:
        """Lets a stage's training run on that a driver before this one asked to end."""
        super().take_back_stop(address)
        self.objects.delete(work_key(address, STOP))

    def sweeps_with(self, name: str) -> list[str]:
        """Returns the names of the sweeps' folders that hold a file called `name`."""
        found = self.objects.folders("sweeps/")
        there = in_parallel(lambda sweep: self.objects.head(f"sweeps/{sweep}/{name}"), found)
        return [sweep for sweep, meta in zip(found, there, strict=True) if meta is not None]

    def fetch_sweep(self, name: str, *, is_mine: bool = False) -> None:
        """Brings what another machine wrote into a sweep's folder, unless a driver on this one works on it.

        Args:
            name: of the sweep.
            is_mine: whether the driver that works on it is this process, which has just begun.
        """
        mark = self.objects.get(MARKER)
        if mark is not None:
            self._copy_is_of(mark)
        SweepFiles(self.objects, self.sweep_folder(name)).fetch(is_mine=is_mine)

    def send_sweep(self, name: str) -> None:
        """Lets other machines see what has changed in a sweep's folder."""
        SweepFiles(self.objects, self.sweep_folder(name)).send()


def work_key(address: str, name: str) -> str:
    """Returns the key of what belongs to the work on an unfinished stage."""
    return f"work/{address}/{name}"


def marker_key(address: str) -> str:
    """Returns the key of the object that makes a stage be there."""
    return f"stages/{address}/{RECORD}"


def record_in(content: bytes, address: str) -> StageRecord:
    """Returns what a stage.json says. Raises DamageError."""
    record = StageRecord.from_json(content, address)
    attempt_in(content)
    return record


def attempt_in(content: bytes) -> str:
    """Returns which files are those of a stage.json. Raises DamageError."""
    try:
        attempt = from_json(content)["attempt"]
    except (ValueError, LookupError, TypeError):
        attempt = None
    if not isinstance(attempt, str) or not attempt.isalnum():
        raise DamageError(f"does not say in its {RECORD} which files are its own")
    return attempt


def whole_in(content: bytes | None, address: str) -> StageRecord | None:
    """Returns what a stage.json says; None if there is none, or a damaged one."""
    try:
        return None if content is None else record_in(content, address)
    except DamageError:
        return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
