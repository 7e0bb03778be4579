"""Every finished stage, found by its address; and the checkpoints of unfinished ones.

    stages/<address>/    stage.json and the stage's files: whole, or not there
    work/<address>/      checkpoints of a stage that is not finished; gone when it is
    aside/<address>-*/   stages that were found damaged; nothing reads them
    sweeps/<name>/       a sweep's spec, study and report

A stage is written in a folder beside its place and renamed into it, so what is found is whole; of two writers of one
address the first wins, and both wrote the same. stage.json records size and sha256 of each file; what a disk, or a
person, altered later is put aside and counts as not there.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_ray.machine import system_id
from w2s_ray.stages.artifacts import CURVE, PREDICTIONS, Predictions, read_lines
from w2s_ray.stages.errors import (
    MARKER,
    DamagedStageError,
    MissingStageError,
    StoreUnavailableError,
    must_exist,
    store_errors,
)
from w2s_ray.stages.integrity import check_file, check_stage, put_aside, read_record, sha256_of, sync_folder
from w2s_ray.stages.record import RECORD, DamageError, StageRecord
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.usage import USAGE, Look, read_usage

__all__ = ["Draft", "StageRecord", "Store", "StoredStage"]

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@dataclass(frozen=True)
class StoredStage:
    """A finished stage: its record and its files. `inode` is that of its folder."""

    path: Path
    record: StageRecord
    inode: int

    def file(self, name: str) -> Path:
        """Returns the path of a file of the stage, whose content is what was published.

        Raises:
            DamagedStageError: it is not; the stage has been put aside.
            FileNotFoundError: the stage has no such file.
        """
        address = self.record.address
        if name not in self.record.files:
            why = ": `w2s gc` removed it" if name in self.record.dropped else ""
            raise FileNotFoundError(f"stage {address} ({self.record.label}) has no {name}{why}")
        try:
            with store_errors(self.path.parent.parent, f"reading {name} of stage {address}"):
                self._bring(name)
        except DamageError as damage:
            self.put_aside(str(damage))
            raise DamagedStageError(address, str(damage)) from damage
        return self.path / name

    def put_aside(self, reason: str) -> None:
        """Takes a stage that is of no use out of the way; `reason` goes on from "stage ADDRESS ..."."""
        put_aside(self.path, self.inode, reason)

    def _bring(self, name: str) -> None:
        """Has a file in its place as it was published. Raises DamageError if that cannot be."""
        check_file(self.path / name, self.record.files[name])

    def predictions(self) -> Predictions:
        """Returns a finetuned model's predictions on all splits it was run on. Raises as `file`."""
        return Predictions.read(self.file(PREDICTIONS))

    def curve(self) -> list[dict[str, Any]]:
        """Returns the learning curve: one row per validation, each with `step`. Raises as `file`."""
        return read_lines(self.file(CURVE))


class Draft:
    """A stage being written: put files into `path`, numbers into `summary`, `seconds` and `usage`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.usage: list[Look] = []


class Store:
    """A folder of finished stages. Cheap to construct; holds no state but its path, so it may cross processes.

    Attributes:
        root: the folder; of a store in a bucket the copy on this machine.
        uri: what names the store from anywhere, for people and for --store.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().resolve()
        self.uri = str(self.root)

    def make(self) -> None:
        """Makes the folder if it is missing. Only who begins a run does; who meets it missing later waits for it."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / MARKER).touch()

    def must_exist(self, doing: str) -> None:
        """Raises StoreUnavailableError if the store is gone, so that nobody fills what is in its place."""
        must_exist(self.root, doing)

    def has(self, address: str) -> bool:
        """Whether the stage is finished, as far as its record and its files' sizes tell."""
        return self.read(address) is not None

    def read(self, address: str) -> StoredStage | None:
        """Returns a finished stage, or None. One that is seen to be damaged is put aside and counts as not there.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        place = self.place(address)
        with store_errors(self.root, f"reading stage {address}"):
            try:
                inode = place.stat().st_ino
            except FileNotFoundError:
                return None
            try:
                return StoredStage(place, read_record(place), inode)
            except DamageError as damage:
                put_aside(place, inode, str(damage))
                return None

    def read_all(self, addresses: Iterable[str]) -> dict[str, StoredStage | None]:
        """Returns what `read` does for each address, in less time where a look is slow."""
        return {address: self.read(address) for address in dict.fromkeys(addresses)}

    def forget(self, address: str) -> None:
        """Makes the next look at a stage a new one, after another machine did not find what this one knows of."""

    def get(self, address: str) -> StoredStage:
        """Returns a finished stage. Raises MissingStageError, a KeyError, if it is not there."""
        stored = self.read(address)
        if stored is None:
            raise MissingStageError(address, f"is not in {self.uri}")
        return stored

    @contextmanager
    def publish(self, stage: Stage, made_by: str = "") -> Iterator[Draft]:
        """Gives a draft to fill; on a clean exit it becomes the finished stage, on an exception it is removed.

        Raises:
            StoreUnavailableError: the folder is full, read-only or gone.
        """
        with store_errors(self.root, f"publishing {stage.execution.label or stage.address}"):
            folder = self.place(stage.address).parent
            folder.mkdir(parents=True, exist_ok=True)
            draft = Draft(Path(tempfile.mkdtemp(prefix=_draft_prefix(stage.address), dir=folder)))
            start = time.monotonic()
            try:
                yield draft
                draft.seconds.setdefault("stage", time.monotonic() - start)
                _finish(stage, draft, made_by)
                self._keep(stage.address, draft.path)
            finally:
                shutil.rmtree(draft.path, ignore_errors=True)
        self.drop_work(stage.address)

    def _keep(self, address: str, draft: Path) -> None:
        """Makes a finished draft the stage."""
        _rename(draft, self.place(address))

    def place(self, address: str) -> Path:
        """Returns the folder of a finished stage; it may not exist."""
        return self.root / "stages" / address

    def work(self, address: str) -> Path:
        """Returns the folder for checkpoints of an unfinished stage; it may not exist yet."""
        return self.root / "work" / address

    def sweep_folder(self, name: str) -> Path:
        """Returns the folder of the sweep called `name`; it may not exist yet."""
        return self.root / "sweeps" / name

    def drop_work(self, address: str) -> None:
        """Removes the checkpoints of a stage, and all else of its work."""
        shutil.rmtree(self.work(address), ignore_errors=True)

    def newest_checkpoint(self, address: str) -> str | None:
        """Returns what tells the newest checkpoint of a stage from those before it; None if there is none."""
        return max((path.name for path in (self.work(address) / "checkpoints").glob("step-*")), default=None)

    def usage(self, address: str) -> list[Look]:
        """Returns what the processes of an unfinished stage used, as far as it was kept."""
        return read_usage(self.work(address) / USAGE)

    def sweeps(self) -> list[str]:
        """Returns the names of the sweeps that have a spec here."""
        return self.sweeps_with("sweep.yaml")

    def sweeps_with(self, name: str) -> list[str]:
        """Returns the names of the sweeps' folders that hold a file called `name`."""
        return sorted(path.parent.name for path in (self.root / "sweeps").glob(f"*/{name}"))

    def fetch_sweep(self, name: str, *, is_mine: bool = False) -> None:
        """Brings what another machine wrote into a sweep's folder; nothing to do where all see one folder."""

    def send_sweep(self, name: str) -> None:
        """Lets other machines see what is in a sweep's folder; nothing to do where all see one folder."""


def _draft_prefix(address: str) -> str:
    """Says who writes, so that `w2s gc` can tell the draft of a dead writer."""
    return f".{address}-{os.getpid()}@{system_id()}-"


def _finish(stage: Stage, draft: Draft, made_by: str) -> None:
    paths = sorted(draft.path.iterdir())
    record = StageRecord(
        address=stage.address,
        identity=stage.identity(),
        label=stage.execution.label,
        summary=draft.summary,
        seconds=draft.seconds,
        made_by=made_by,
        finished_at=time.time(),
        files={path.name: sha256_of(path, sync=True) for path in paths},
        sizes={path.name: path.stat().st_size for path in paths},
        usage=draft.usage,
    )
    path = draft.path / RECORD
    path.write_text(record.to_json(), encoding="utf-8")
    sha256_of(path, sync=True)
    sync_folder(draft.path)


def _rename(draft: Path, place: Path) -> None:
    """Puts a finished draft into its place, unless a whole stage is there: it holds the same content."""
    for _ in range(3):
        try:
            draft.rename(place)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            sync_folder(place.parent)
            return
        if _is_whole(place):
            return
    raise StoreUnavailableError(errno.EEXIST, f"{place} is damaged and cannot be moved; remove it, then resume")


def _is_whole(place: Path) -> bool:
    try:
        inode = place.stat().st_ino
        check_stage(place)
    except FileNotFoundError:
        return False
    except DamageError as damage:
        put_aside(place, inode, str(damage))
        return False
    return True
