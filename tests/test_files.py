"""JSON of a store is data or a ValueError, whatever it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s_ray.files import from_json
from w2s_ray.search.known_stores import remember, stores_with
from w2s_ray.search.several import kept
from w2s_ray.stages.artifacts import Examples, read_lines
from w2s_ray.stages.object_store import attempt_in, whole_in
from w2s_ray.stages.record import DamageError
from w2s_ray.stages.store import Store
from w2s_ray.stages.usage import parse_usage

DEEP = b"[" * 100_000
GARBAGE = [b"", b"{", b"\xff\xfe", DEEP, b'{"a":' * 100_000]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_json_is_a_value_error_that_says_why(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(content)


def test_json_is_what_it_says() -> None:
    assert from_json('{"a": [1, 2.5, null, "x"]}') == from_json(b'{"a": [1, 2.5, null, "x"]}')
    assert from_json("[" * 100 + "]" * 100) == json.loads("[" * 100 + "]" * 100)


def curve(folder: Path) -> None:
    (folder / "curve.jsonl").write_bytes(b'{"step": 1}\n' + DEEP)
    read_lines(folder / "curve.jsonl")


def examples(folder: Path) -> None:
    table = pa.table({"id": ["a"], "text": ["b"], "class": [0], "split": ["test"]})
    pq.write_table(table.replace_schema_metadata({b"class_names": DEEP}), folder / "examples.parquet")
    Examples.read(folder / "examples.parquet")


def several(folder: Path) -> None:
    (folder / "sweeps" / "many").mkdir(parents=True)
    (folder / "sweeps" / "many" / "tasks.json").write_bytes(DEEP)
    kept(Store(folder), "many")


@pytest.mark.parametrize(
    ("read", "says"),
    [(curve, r"curve\.jsonl:2"), (examples, r"examples\.parquet"), (several, r"tasks\.json is damaged")],
)
def test_a_file_of_a_store_with_json_nested_without_end_is_named(
    tmp_path: Path, read: Callable[[Path], Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        read(tmp_path)


def test_where_garbage_says_nothing_json_nested_without_end_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_usage(DEEP.decode() + '\n{"time": 1.0}\n') == [{"time": 1.0}]
    assert whole_in(DEEP, "0" * 16) is None
    with pytest.raises(DamageError):
        attempt_in(DEEP)
    monkeypatch.setenv("W2S_CACHE", str(tmp_path))
    (tmp_path / "stores.json").write_bytes(DEEP)
    assert stores_with("any", Store(tmp_path)) == []
    remember(Store(tmp_path))
