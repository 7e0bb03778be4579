"""The file behind a study: Optuna's journal, a JSON line for each thing that ever happened, written by one driver.

The driver holds the sweep's lease, so the file needs no lock of its own, which a killed writer would leave behind. What
belongs together goes to the disk together: a trial that is asked or told is a dozen lines, and waiting for the disk
after each cost 28 of its 30 ms. A killed process loses nothing of it; a power cut may take the newest lines, and the
study then goes on from the state before. A last line that was cut short is no line.
"""

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from w2s_ray.files import from_json
from w2s_ray.stages.errors import StoreUnavailableError

LAST_ASKED = "stages"
"""The attribute of a trial that is written last when it is asked."""

_CREATE_TRIAL, _SET_USER_ATTRIBUTE = 4, 8  # op_code of Optuna's journal


class StudyDamagedError(ValueError):
    """The journal holds a line that nobody wrote so."""


class JournalFile(BaseJournalBackend):
    """Appends to one file, and reads on from where it last stopped.

    Args:
        path: of the file; made with its first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._together = False
        self._line, self._offset = 0, 0

    @property
    def position(self) -> int:
        """How many entries were read."""
        return self._line

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yields the entries from number `log_number_from` on."""
        if log_number_from < self._line:
            self._line, self._offset = 0, 0
        if not self._is_there():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # a writer is not done with it, or never will be
                number = self._line
                self._line, self._offset = number + 1, self._offset + len(line)
                if number >= log_number_from:
                    yield self._entry(number, line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Writes entries; waits for the disk unless within `together`. What does not fit leaves nothing."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._is_there()
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                _write_all(file, lines.encode())
                if not self._together:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(before)  # half a line would spoil all that comes after it
                raise

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Waits for the disk once, after the block."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            with self._path.open("ab") as file:
                os.fsync(file.fileno())

    def _is_there(self) -> bool:
        """Raises StoreUnavailableError if the file was there and is not any more: a new one would forget everything."""
        there = self._path.exists()
        if not there and self._line:
            message = f"the study {self._path} is gone. See whether its disk or mount is well, then resume the sweep"
            raise StoreUnavailableError(errno.ENOENT, message)
        return there

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = from_json(line)
        except ValueError as error:
            raise StudyDamagedError(_damage(self._path, number + 1, str(error))) from None
        if not isinstance(entry, dict):
            raise StudyDamagedError(_damage(self._path, number + 1, f"no object but {type(entry).__name__}"))
        return entry


def open_journal(path: Path) -> tuple[JournalStorage, JournalFile]:
    """Returns the storage of a journal, and its file. Raises StudyDamagedError if it cannot be replayed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = JournalFile(path)
    with damage_named(path, lambda: file.position):
        return JournalStorage(file), file


@contextlib.contextmanager
def damage_named(path: Path, line: Callable[[], int]) -> Iterator[None]:
    """Turns what Python raises where altered entries are taken for what they should be into StudyDamagedError."""
    try:
        yield
    except StudyDamagedError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, AssertionError, OverflowError, RecursionError) as error:
        raise StudyDamagedError(_damage(path, line(), f"{type(error).__name__}: {error}")) from error


def mend_journal(path: Path) -> None:
    """Cuts off what a dying writer did not finish: a last line, and a trial that was only half asked.

    What was drawn for the first half of a trial's parameters is lost with the writer, and the rest would be drawn
    otherwise than an uninterrupted search would have; so the trial is asked again from its beginning.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        end = _half_asked(whole)
        if end < len(content):
            file.truncate(end)


def _half_asked(whole: bytes) -> int:
    """Returns where the last trial begins if it was not asked to its end, else the length of it all."""
    after = len(whole)
    for line in reversed(whole.splitlines(keepends=True)):
        begins = after - len(line)
        try:
            entry = from_json(line)
        except ValueError:
            return len(whole)  # altered: whoever opens it says so
        if not isinstance(entry, dict):
            return len(whole)
        if entry.get("op_code") == _SET_USER_ATTRIBUTE and LAST_ASKED in entry.get("user_attr", ()):
            return len(whole)
        if entry.get("op_code") == _CREATE_TRIAL:
            return begins
        after = begins
    return len(whole)


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    while content:
        content = content[file.write(content) or 0 :]


def _damage(path: Path, line: int, why: str) -> str:
    return (
        f"{path}:{line}: the study cannot be read ({why}). Put the file back from a backup, or cut it off before "
        "that line: the trials after it are then asked again and find their stages in the store"
    )
