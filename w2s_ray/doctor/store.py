"""The store as each machine sees it: what the driver writes is read there, what is written there the driver reads.

A folder that is read-only, full or gone says so itself. Two faults do not: a node on which the mount is missing has an
ordinary folder in its place, and a mount whose locks stay on one machine lets two drivers work on one sweep. So the
driver puts a file with a word nobody can guess into a folder of its own, and holds a lock in it, while the nodes look.
The folder is removed at the end. A store that does not exist yet is not made: it is looked for in what will hold it.
"""

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from w2s_ray.bucket_uri import is_uri
from w2s_ray.doctor import bucket
from w2s_ray.doctor.bounded import PATIENCE, within
from w2s_ray.doctor.finding import Finding, ok, problem, warning
from w2s_ray.doctor.need import Need, Probe
from w2s_ray.stages.errors import REMEDIES, StoreUnavailableError

_WORD, _LOCK, _FROM = "word", "lock", "from-"
_BLOCK = 1 << 16  # bytes; a disk that is full takes an empty file
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_MOUNT_WITH_LOCKS = "mount it with locks: NFS 4, without nolock and local_lock"
_MOUNT = "mount there what the driver has at this path, or name a folder that every node mounts with --store"


@contextmanager
def probed(root: str) -> Iterator[tuple[Probe | None, list[Finding]]]:
    """Gives what the nodes shall find in the store during the block, or why it cannot be put there."""
    with ExitStack() as stack:
        probe, troubles = None, list[Finding]()
        try:
            probe = within(PATIENCE, lambda: bucket.put(root, stack) if is_uri(root) else _put(root, stack))
        except OSError as error:
            troubles = [_unusable(root, error)]
        yield probe, troubles


def store(need: Need) -> list[Finding]:
    """Whether the store can be read and written here, and is the driver's."""
    if need.probe is None:
        return []
    if is_uri(need.probe.folder):
        return _in_bucket(need, need.probe.folder)
    folder = Path(need.probe.folder)
    try:
        return _looked(need, folder) or [ok("store", f"{folder.parent}: read, written and locked")]
    except OSError as error:
        return [_unusable(str(folder.parent), error)]


def seen_from_the_driver(probe: Probe, name: str) -> list[Finding]:
    """Returns what is wrong with what the machine called `name` wrote into the store, as the driver reads it."""
    if is_uri(probe.folder):
        return bucket.seen_from_the_driver(probe, name)
    path = Path(probe.folder) / f"{_FROM}{name}"
    try:
        if path.read_text(encoding="ascii").startswith(probe.word):
            return []
        says = "what this node writes arrives changed"
    except FileNotFoundError:
        says = "what this node writes does not arrive at the driver"
    return [problem("store", f"{says} ({path.parent.parent})", _MOUNT)]


def _in_bucket(need: Need, folder: str) -> list[Finding]:
    try:
        return bucket.looked(need)
    except OSError as error:
        return [_unusable(folder.rpartition("/")[0], error)]


def _put(root: str, stack: ExitStack) -> Probe:
    """Writes the driver's file and takes the lock; `stack` gives back both."""
    folder = Path(tempfile.mkdtemp(prefix=".w2s-doctor-", dir=_nearest(Path(root))))
    stack.callback(_remove, folder)
    folder.chmod(0o777)  # another user may run the nodes
    probe = Probe(str(folder), secrets.token_hex(16))
    _write(folder / _WORD, probe.word)
    lock = stack.enter_context((folder / _LOCK).open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return probe


def _remove(folder: Path) -> None:
    with suppress(TimeoutError):  # a store that hangs was found to by then
        within(PATIENCE, lambda: shutil.rmtree(folder, ignore_errors=True))


def _looked(need: Need, folder: Path) -> list[Finding]:
    """Reads, writes and locks; returns what is wrong. Raises OSError where the system says so."""
    assert need.probe is not None
    if not (folder / _WORD).exists():
        there = "another folder is in its place" if folder.parent.is_dir() else "there is no such folder"
        return [problem("store", f"{folder.parent} is not the driver's: {there}", _MOUNT)]
    if (folder / _WORD).read_text(encoding="ascii")[: len(need.probe.word)] != need.probe.word:
        return [problem("store", f"what the driver wrote into {folder.parent} is read otherwise", _MOUNT)]
    draft = folder / f".{need.name}"
    _write(draft, need.probe.word)
    draft.rename(folder / f"{_FROM}{need.name}")  # as a stage is published
    return _unlocked(folder)


def _unlocked(folder: Path) -> list[Finding]:
    """Returns what is wrong with the driver's lock, which must be seen to be held."""
    with (folder / _LOCK).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
    says = f"locks in {folder.parent} do not reach from one machine to another: two drivers could work on one sweep"
    return [warning("store", says, _MOUNT_WITH_LOCKS)]


def _write(path: Path, word: str) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(word + "." * _BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _nearest(root: Path) -> Path:
    return next(folder for folder in (root, *root.parents) if folder.exists())


def _unusable(root: str, error: OSError) -> Finding:
    if isinstance(error, StoreUnavailableError) and error.remedy:  # of a bucket: it says itself what to check
        return problem("store", error.what, error.remedy[0].lower() + error.remedy[1:])
    if error.errno in _NO_LOCKS:
        return problem("store", f"{root} cannot be locked ({error.strerror})", _MOUNT_WITH_LOCKS)
    otherwise = ("cannot be used", "see whether its disk or mount is well")
    what, mend = REMEDIES.get(error.errno or 0, otherwise)
    return problem("store", f"{root} {what} ({error.strerror or error})", mend[0].lower() + mend[1:])
