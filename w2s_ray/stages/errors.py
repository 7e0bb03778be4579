"""What can be wrong with a store: a stage is missing or damaged, or the folder itself cannot be used.

The first two are mended by making the stage again, which is what the broker does; the third by a person, so its
message says what to do. All cross process borders, wrapped by Ray and Ray Train in their own; `cause_of` finds them.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

_Error = TypeVar("_Error", bound=BaseException)


class MissingStageError(KeyError):
    """A stage that something reads is not in the store.

    Args:
        address: of the stage.
        reason: what is known about it.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"stage {address} {reason}")
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.address, self.reason)


class DamagedStageError(MissingStageError):
    """A stage was there and is not what was published; it was put aside, so now it is missing."""

    def __init__(self, address: str, reason: str = "is damaged") -> None:
        super().__init__(address, reason)


class StoreUnavailableError(OSError):
    """The store's folder is full, read-only, gone or does not answer.

    Args:
        number: of the system's error.
        what: names the folder and what happened.
        remedy: what to do before the sweep is resumed; empty where `what` says it.
    """

    def __init__(self, number: int, what: str, remedy: str = "") -> None:
        then = "then resume the sweep: what is finished is kept, what was half-written is not."
        super().__init__(number, f"{what}. {remedy}, {then}" if remedy else what)
        self.number, self.what, self.remedy = number, what, remedy

    def __str__(self) -> str:
        return str(self.args[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.number, self.what, self.remedy)


MARKER = ".w2s-store"
"""Name of the empty file that tells a store's folder from the place where it was mounted."""

_FULL = "Free some space, for example with `w2s gc`"
_AWAY = "See whether its disk or mount is well"
_CLOSED = "Let this user write there, or name another folder with --store"
REMEDIES = {
    errno.ENOSPC: ("is full", _FULL),
    errno.EDQUOT: ("has used up its quota", _FULL),
    errno.EIO: ("cannot be read or written", _AWAY),
    errno.ESTALE: ("was taken away while in use", _AWAY),
    errno.ENOTCONN: ("does not answer", _AWAY),
    errno.ENOENT: ("is gone", _AWAY),
    errno.EROFS: ("is read-only", _CLOSED),
    errno.EACCES: ("is not open to this user", _CLOSED),
    errno.EPERM: ("is not open to this user", _CLOSED),
}


@contextmanager
def store_errors(root: Path, doing: str) -> Iterator[None]:
    """Turns the system's errors about the store's folder into StoreUnavailableError; lets all others pass.

    Args:
        root: the store's folder.
        doing: what was being done, as in "publishing weak minilm-0 seed 1".
    """
    try:
        yield
    except (MissingStageError, StoreUnavailableError):
        raise
    except Exception as error:
        number = _number_of(error)
        if number is None or not _is_about(error, number, root):
            raise
        what, remedy = REMEDIES[number]
        happened = f"the store {root} {what} ({doing}: {os.strerror(number)})"
        raise StoreUnavailableError(number, happened, remedy) from error


def must_exist(root: Path, doing: str) -> None:
    """Raises StoreUnavailableError if the store is gone, so that nobody fills the empty folder where a mount was."""
    with store_errors(root, doing):
        os.stat(root / MARKER)


def cause_of(error: BaseException, kind: type[_Error]) -> _Error | None:
    """Returns the first error of `kind` in what Ray or Ray Train wrapped, innermost first; None if there is none."""
    wrapped = [getattr(error, "cause", None), getattr(error, "controller_failure", None), error.__cause__]
    wrapped += (getattr(error, "worker_failures", None) or {}).values()
    for inner in wrapped:
        found = cause_of(inner, kind) if isinstance(inner, BaseException) else None
        if found is not None:
            return found
    return error if isinstance(error, kind) else None


def _number_of(error: Exception) -> int | None:
    """The errno behind `error`; safetensors raises no OSError, but writes the number into its message."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and type(error).__name__ == "SafetensorError":
        match = re.search(r"os error (\d+)", str(error))
        number = int(match[1]) if match else None
    return number if number in REMEDIES else None


def _is_about(error: Exception, number: int, root: Path) -> bool:
    if number == errno.ENOENT:
        return not (root / MARKER).exists()
    named = getattr(error, "filename", None)
    if named is None:
        match = re.search(r"""(?:at path|local file) ["'](.+?)["']""", str(error))
        named = match[1] if match else None
    # A full disk is often told without a path; what a stage writes, it writes into the store.
    return not isinstance(named, str | Path) or Path(os.path.abspath(named)).is_relative_to(root)
