"""The user's own table: CSV, TSV, JSON lines or Parquet, by the file's suffix.

A file that is not what its suffix says is an error that names the lines, since what follows them cannot be trusted. A
row that is well formed but lacks something is a row; it is for `clean` to leave it out and count it.
"""

import csv
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from w2s_ray.archives import sha256_of
from w2s_ray.spec.problems import did_you_mean
from w2s_ray.spec.task import Columns
from w2s_ray.tasks.row import Row, as_number, cell

_LONGEST_CELL = 1 << 24  # characters; the csv module would refuse a document of more than 131,072
_SHOWN = 5
_LARGEST = 1 << 32  # bytes of a Parquet file's columns, written out: a few kilobytes of it can stand for terabytes
_BATCH = 1024  # rows


def is_table(source: str) -> bool:
    """Whether `source` has the suffix of a table."""
    return Path(source).suffix.lower() in _READERS


def path_of(source: str) -> Path:
    """Returns the path of a table. Raises ValueError if there is no such file or its suffix is unknown."""
    path = Path(source).expanduser().absolute()
    if not is_table(source):
        raise ValueError(f"{source!r} must end in one of {', '.join(_READERS)}")
    if not path.is_file():
        near = [found.name for found in path.parent.glob("*") if is_table(found.name)]
        raise ValueError(f"{path} is not there{'; ' + did_you_mean(path.name, near) if near else ''}")
    return path


def fingerprint(source: str) -> str:
    """Returns the format and sha256 of a table; its path is not part of what it is."""
    path = path_of(source)
    return f"{path.suffix.lower()[1:]}@{sha256_of(path)}"


def read(source: str, columns: Columns) -> list[Row]:
    """Returns the rows of a table.

    Raises:
        ValueError: the file is not there, is malformed (its lines are named), or lacks a column.
    """
    path = path_of(source)
    return list(_READERS[path.suffix.lower()](path, columns))


def row_of(name: str, values: Mapping[str, object], columns: Columns) -> Row:
    """Returns the row that `values`, by column name, make up."""
    text = values.get(columns.text)
    group = cell(values.get(columns.group)) if columns.group else None
    label = cell(values.get(columns.label))
    if text is not None and not isinstance(text, str):
        return Row(name, None, label, group, "text is not a string")
    if columns.difficulty is None:
        return Row(name, text, label, group)
    difficulty = as_number(values.get(columns.difficulty))
    return Row(name, text, label, group, "difficulty is not a number" if difficulty is None else "", difficulty)


def check_columns(where: str, columns: Columns, known: list[str]) -> None:
    """Raises ValueError if the table lacks a column, or has it twice."""
    for role, name in columns:
        if name is not None and known.count(name) != 1:
            wrong = "is there twice" if name in known else f"is missing; {did_you_mean(name, known)}"
            raise ValueError(f"{where}: column {name!r} {wrong} (task.columns.{role})")


def _read_csv(path: Path, columns: Columns, delimiter: str = ",") -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    # A byte that is not UTF-8 becomes a lone surrogate, which `clean` counts as such.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        records = _records(path.name, file, delimiter)
        _, header = next(records, (1, []))
        check_columns(path.name, columns, header)
        malformed = _Malformed(path.name)
        for line, cells in records:
            if len(cells) != len(header):
                malformed.add(line, f"{len(cells)} cells, but the header has {len(header)}")
                continue
            yield row_of(f"{path.name}:{line}", dict(zip(header, cells, strict=True)), columns)
        malformed.check()


def _records(name: str, file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields each record with the line that it begins at: a cell in quotes may hold line breaks."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{name}:{line}: not valid CSV: {error}") from None
        if cells is None:
            return
        if cells:
            yield line, cells


def _read_tsv(path: Path, columns: Columns) -> Iterator[Row]:
    return _read_csv(path, columns, delimiter="\t")


def _read_json_lines(path: Path, columns: Columns) -> Iterator[Row]:
    known: dict[str, None] = {}
    malformed = _Malformed(path.name)
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.decode("utf-8-sig", errors="surrogateescape"))
        except (ValueError, RecursionError) as error:
            malformed.add(number, f"not valid JSON: {error}")
            continue
        if not isinstance(values, dict):
            malformed.add(number, f"a line must be an object like {{...}}, not {type(values).__name__}")
            continue
        known.update(dict.fromkeys(values))
        rows.append(row_of(f"{path.name}:{number}", values, columns))
    malformed.check()
    check_columns(path.name, columns, list(known))
    yield from rows


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    wanted = [name for _, name in columns if name is not None]
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path.name, columns, file.schema_arrow.names)
            texts = [name for name in wanted if _is_text(file.schema_arrow.field(name).type)]
        # A text that is repeated stays one until its size is known.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            _check_size(path.name, _packed_bytes(file.metadata, wanted))
            number = size = 0
            for batch in file.iter_batches(_BATCH, columns=wanted):
                size += sum(map(_bytes_of, batch.columns))
                _check_size(path.name, size)
                for values in batch.to_pylist():
                    number += 1
                    yield row_of(f"{path.name}:{number}", values, columns)
    except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        raise ValueError(f"{path.name}: not valid Parquet: {error}") from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _packed_bytes(metadata: pq.FileMetaData, wanted: Collection[str]) -> int:
    """Returns the size of some columns without compression, but as they are encoded, as the file tells it."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in chunks if one.path_in_schema.split(".")[0] in wanted)


def _bytes_of(column: pa.Array) -> int:
    """Returns the size of a column, each of its texts written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0


def _check_size(name: str, size: int) -> None:
    if size > _LARGEST:
        raise ValueError(f"{name}: its columns hold more than {_LARGEST} bytes; split the file, or shorten the texts")


class _Malformed:
    """Collects malformed lines, to name the first few together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[str] = []

    def add(self, line: int, what: str) -> None:
        self._found.append(f"{self._name}:{line}: {what}")

    def check(self) -> None:
        if self._found:
            more = len(self._found) - _SHOWN
            raise ValueError("\n".join([*self._found[:_SHOWN], *([f"and {more} more lines"] if more > 0 else [])]))


_READERS: Mapping[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
}
