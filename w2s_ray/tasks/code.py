"""A task as a Python function: `module:function`, which returns rows as mappings from column to value.

The function is called where the sweep is planned and again where the examples are made, in a Ray worker, so the module
must be importable in both: installed, or a file in the folder where the command is called. What identifies the task is
the rows, so the function must return the same ones each time, in any order.
"""

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from w2s_ray.spec.task import Columns
from w2s_ray.tasks.row import Row
from w2s_ray.tasks.table import check_columns, row_of


def is_code(source: str) -> bool:
    """Whether `source` has the form `module:function`."""
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", source) is not None


def read(source: str, columns: Columns) -> list[Row]:
    """Returns the rows that the function returns.

    Raises:
        ValueError: there is no such function, or what it returns are no rows with the columns of the task.
    """
    rows = list(_call(source))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{source}: row {number} must be a dict of columns, got {type(row).__name__}")
    check_columns(source, columns, list({column: None for row in rows for column in row}))
    return [row_of(f"{source}:{number}", row, columns) for number, row in enumerate(rows, start=1)]


def fingerprint(rows: Iterable[Row]) -> str:
    """Returns the sha256 of what rows hold, in whatever order."""
    lines = sorted(json.dumps([row.text, row.label, row.group, row.problem, *_given(row.difficulty)]) for row in rows)
    return f"rows@{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _given(difficulty: float | None) -> list[float]:
    """Rows without a difficulty are known by what they were known by before there was one."""
    return [] if difficulty is None else [difficulty]


def _call(source: str) -> Iterable[Any]:
    module, _, name = source.partition(":")
    with _folder_on_path():
        try:
            function = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name != module.split(".")[0]:
                raise
            raise ValueError(
                f"task.source {source!r}: there is no module {module!r} in {Path.cwd()} or installed; if it is a hub "
                f"data set, give revision: its commit hash"
            ) from None
        except AttributeError:
            raise ValueError(f"task.source {source!r}: module {module!r} has no function {name!r}") from None
        rows = function()
    if not isinstance(rows, Iterable):
        raise ValueError(f"{source} must return rows, got {type(rows).__name__}")
    return rows


@contextmanager
def _folder_on_path() -> Iterator[None]:
    """A command's path begins with the folder of its script, not with the one it is called in."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
