import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s_ray.spec import Columns
from w2s_ray.tasks import table

COLUMNS = Columns()


def read(path, columns: Columns = COLUMNS):
    return table.read(str(path), columns)


def test_cells_in_quotes_may_hold_commas_quotes_and_line_breaks_and_rows_keep_their_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"one, ""two""\nthree",1\n\nplain,0\n', encoding="utf-8")
    found = [(row.name, row.text, row.label) for row in read(path)]
    assert found == [("t.csv:2", 'one, "two"\nthree', "1"), ("t.csv:5", "plain", "0")]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\r\nhello,yes\r\n")
    assert [(row.text, row.label) for row in read(path)] == [("hello", "yes")]


def test_the_formats_agree(tmp_path):
    values = [{"text": "one", "label": "1", "q": "a"}, {"text": "two, three", "label": "0", "q": ""}]
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        with (tmp_path / f"t.{suffix}").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label", "q"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(values)
    lines = "".join(json.dumps({**row, "label": int(row["label"])}) + "\n" for row in values)
    for suffix in ("jsonl", "ndjson", "json"):
        (tmp_path / f"t.{suffix}").write_text(lines, encoding="utf-8")
    typed = pa.table({"text": ["one", "two, three"], "label": [1.0, 0.0], "q": ["a", None], "more": [[1], [2]]})
    pq.write_table(typed, tmp_path / "t.parquet")
    columns = Columns(group="q")
    for suffix in ("csv", "tsv", "jsonl", "ndjson", "json", "parquet"):
        found = [(row.text, row.label, row.group) for row in read(tmp_path / f"t.{suffix}", columns)]
        assert found == [("one", "1", "a"), ("two, three", "0", None)], suffix


def test_malformed_csv_lines_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\na,1\nb\nc,1,2\nd,0\n" + "e\n" * 9, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv:3: 1 cells, but the header has 2\nt\.csv:4: 3 cells") as caught:
        read(path)
    assert str(caught.value).endswith("and 6 more lines")


def test_a_quote_that_is_never_closed_is_named_where_it_opens(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('text,label\na,1\n"open,0\nb,1\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.csv:3: not valid CSV"):
        read(path)


def test_a_byte_that_is_not_utf8_spoils_its_row_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label\ncaf\xe9,1\nfine,0\n")
    found = read(path)
    assert [row.text for row in found] == ["caf\udce9", "fine"]


def test_a_text_longer_than_the_csv_modules_limit_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"text,label\n{'x' * 200_000},1\n", encoding="utf-8")
    assert len(read(path)[0].text or "") == 200_000


def test_malformed_json_lines_are_named(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": 1}\n\n{"text": \n[1]\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.jsonl:3: not valid JSON.*\nt\.jsonl:4: a line must be .* not list"):
        read(path)


def test_json_rows_may_lack_a_value_and_a_text_must_be_a_string(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = ({"text": "a"}, {"text": None, "label": "x"}, {"text": 5, "label": "x"})
    path.write_text("\n".join(json.dumps(row) for row in lines), encoding="utf-8")
    found = [(row.text, row.label, row.problem) for row in read(path)]
    assert found == [("a", None, ""), (None, "x", ""), (None, "x", "text is not a string")]


def test_a_file_that_is_no_parquet_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 not")
    with pytest.raises(ValueError, match=r"t\.parquet: not valid Parquet"):
        read(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_missing_column_is_told_with_the_nearest_one(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        path.write_text("texts,label\na,1\n", encoding="utf-8")
    elif suffix == "jsonl":
        path.write_text('{"texts": "a", "label": 1}\n', encoding="utf-8")
    else:
        pq.write_table(pa.table({"texts": ["a"], "label": [1]}), path)
    with pytest.raises(ValueError, match=r"'text' is missing; did you mean 'texts'\? \(task\.columns\.text\)"):
        read(path)


def test_a_column_that_is_there_twice_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label,text\na,1,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'text' is there twice"):
        read(path)


def test_an_empty_file_lacks_its_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="'text' is missing"):
        read(path)


def test_a_file_that_is_not_there_is_told_with_the_nearest_one(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"is not there; did you mean 'reviews\.csv'"):
        table.path_of(str(tmp_path / "review.csv"))
    with pytest.raises(ValueError, match=r"must end in one of \.csv, \.tsv"):
        table.path_of(str(tmp_path / "reviews.xls"))


def test_a_table_is_what_it_holds_and_not_where_it_lies(tmp_path):
    for name in ("a.csv", "b.csv", "c.tsv"):
        (tmp_path / name).write_text("text,label\n", encoding="utf-8")
    first, second, other = (table.fingerprint(str(tmp_path / name)) for name in ("a.csv", "b.csv", "c.tsv"))
    assert first == second != other


def test_a_few_bytes_of_parquet_that_stand_for_too_many_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_LARGEST", 1 << 20)
    repeated, zeros = tmp_path / "repeated.parquet", tmp_path / "zeros.parquet"
    pq.write_table(pa.table({"text": ["x" * 10_000] * 5000, "label": [0, 1] * 2500}), repeated)
    pq.write_table(pa.table({"text": ["x" * (1 << 21), "y"], "label": [0, 1]}), zeros, compression="zstd")
    for path in (repeated, zeros):
        assert path.stat().st_size < 1 << 14
        with pytest.raises(ValueError, match=rf"{path.name}: its columns hold more than 1048576 bytes"):
            read(str(path), Columns())
