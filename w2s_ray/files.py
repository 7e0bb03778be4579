"""Files, and lines of files, that are there whole or not at all, whenever their writer dies; and JSON of anybody."""

import io
import json
import os
import uuid
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file with `content` into its place in one step, also where others write it at the same time."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def from_json(content: bytes | str) -> Any:
    """Returns the data that JSON stands for. Raises ValueError for all else, also for JSON nested without end."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def append_whole(path: Path, content: bytes) -> None:
    """Adds whole lines to a file that no other process writes: all of them, or none where the disk is full.

    A last line that a kill tore stays alone, so that it spoils none that comes after it.
    """
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            content = b"\n" + content
        try:
            write_all(file, content)
        except OSError:
            file.truncate(end)
            raise


def write_all(file: io.RawIOBase, content: bytes) -> None:
    """Writes what a file without a buffer may take in several parts."""
    while content:
        content = content[file.write(content) or 0 :]
