"""Whatever a table's file holds, it is rows or a ValueError that names the file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.spec.task import Columns
from w2s_ray.tasks.row import Row
from w2s_ray.tasks.table import read

COLUMNS = Columns(text="text", label="label", group="group")
CSV = 'text,label,group\n"a, b",1,g1\nsecond,0,g2\n"with ""quotes""",1,g1\n'
JSON = '{"text": "a", "label": 1, "group": "g"}\n{"text": "b", "label": 0, "group": null}\n'
PIECES = [
    b"",
    b"\n",
    b'"',
    b",",
    b"\x00",
    b"\xff",
    b"{",
    b"[" * 2000,
    b"null",
    b"1e999",
    b"NaN",
    b"\r",
    b"\\ud800",
    b"{}\n",
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole table of each format."""
    path = tmp_path_factory.mktemp("whole") / "table.parquet"
    pq.write_table(pa.table({"text": ["a", "b"] * 20, "label": [1, 0] * 20, "group": ["g", None] * 20}), path)
    return {
        ".csv": CSV.encode(),
        ".tsv": CSV.replace(",", "\t").encode(),
        ".jsonl": JSON.encode(),
        ".parquet": path.read_bytes(),
    }


@settings(max_examples=200, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet", ".parquet"]))
def test_altered_tables_are_rows_or_a_clear_error(
    tables: dict[str, bytes], tmp_path_factory, suffix: str, data: st.DataObject
) -> None:
    content = bytearray(tables[suffix])
    for _ in range(data.draw(st.integers(1, 3))):
        at, length = data.draw(st.integers(0, len(content))), data.draw(st.sampled_from([0, 1, 8]))
        content[at : at + length] = data.draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)))
    check(tmp_path_factory.getbasetemp() / f"altered{suffix}", bytes(content))


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=80), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_any_bytes_are_rows_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    check(tmp_path_factory.getbasetemp() / f"any{suffix}", content)


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        rows = read(str(path), COLUMNS)
    except ValueError as error:
        said = str(error)
    else:
        assert all(isinstance(row, Row) for row in rows)
        return
    assert path.name in said
