"""Whatever stands in a sweep's folder, reading it gives a record or one clear error."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from w2s_ray.methods import Parts
from w2s_ray.search.folder import UnknownSweepError, journal_path, load_record, load_spec, save_spec
from w2s_ray.search.journal import StudyDamagedError, open_journal
from w2s_ray.search.lease import Holder, SweepInUseError, holder, lease
from w2s_ray.search.status import status_of
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace
from w2s_ray.spec.budget import Budget
from w2s_ray.stages.store import Store

CLEAR = (ValueError, UnknownSweepError)  # SpecError and StudyDamagedError are ValueErrors
FILES = ("study.journal", "study.json", "sweep.yaml", "failures.jsonl", "spent.jsonl")
DEEP = b"[" * 100_000
TRIES = [{"time": 3.0, "address": f"a{n}", "verdict": "lost", "again": True, "error": "gone"} for n in range(3)]
SPENT = [{"time": 1.0, "address": f"a{n}", "cpus": 2, "gpus": 0, "seconds": 1800.0} for n in range(3)]
MANY = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


PIECES = [b"", b"null", b"[]", b"-1", b"{}\n", DEEP]


@pytest.fixture(scope="module")
def finished(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished search."""
    store = Store(tmp_path_factory.mktemp("finished"))
    search = Search(trials=8, parallelism=2, budget=Budget(max_cpu_hours=9))
    sweep = replace(sweep, search=search, store=str(store.root))
    save_spec(store, sweep)
    for name, lines in (("failures.jsonl", TRIES), ("spent.jsonl", SPENT)):
        content = "".join(json.dumps(line) + "\n" for line in lines)
        (store.sweep_folder(sweep.name) / name).write_text(content, encoding="utf-8")
    study = Study(Parts(sweep), journal_path(store, sweep.name))
    while not study.finished:
        while (asked := study.ask()) is not None:
            study.tell(asked.number, Outcome("complete", {"oracle": 0.7, "weak": 0.8}, {1: 0.5}))
    return store.sweep_folder(sweep.name)


@st.composite
def altered(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with a few bytes changed, cut out or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 12))
        data[at : at + length] = draw(st.one_of(st.binary(max_size=12), st.sampled_from(PIECES)))
    return bytes(data)


def copied(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the folder, always in the same place."""
    folder = tmp_path_factory.getbasetemp() / "altered" / "sweeps" / finished.name
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    return folder


def read_all(folder: Path) -> None:
    """Reads a sweep as `w2s status` does. Raises only what the command line turns into a message."""
    store = Store(folder.parent.parent)
    try:
        status_of(load_record(store, load_spec(store, folder.name))).to_text()
    except CLEAR as error:
        said = str(error.args[0] if error.args else "")
    else:
        return
    assert said.strip(), "an error without a message"


@MANY
@given(data=st.data(), name=st.sampled_from(FILES))
def test_altered_bytes_of_a_sweeps_files_give_a_record_or_a_clear_error(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    folder = copied(finished, tmp_path_factory)
    (folder / name).write_bytes(data.draw(altered((folder / name).read_bytes())))
    read_all(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@MANY
@given(data=st.data(), value=JSON)
def test_any_value_of_any_key_of_the_journal_gives_a_record_or_a_clear_error(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, value: object
) -> None:
    folder = copied(finished, tmp_path_factory)
    lines = (folder / "study.journal").read_text(encoding="utf-8").splitlines()
    at = data.draw(st.integers(0, len(lines) - 1), label="line")
    entry = json.loads(lines[at])
    if data.draw(st.booleans(), label="within user_attr") and "user_attr" in entry:
        entry["user_attr"] = dict.fromkeys(entry["user_attr"], value)
    else:
        entry[data.draw(st.sampled_from(sorted(entry)), label="key")] = value
    lines[at] = json.dumps(entry)
    (folder / "study.journal").write_text("\n".join(lines) + "\n", encoding="utf-8")
    read_all(folder)


@MANY
@given(content=st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_as_the_list_of_studies_give_a_record_or_a_clear_error(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = copied(finished, tmp_path_factory)
    (folder / "study.json").write_bytes(content)
    read_all(folder)


@MANY
@given(content=st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps({"host": value}).encode())))
@example(content=DEEP)
def test_any_bytes_in_the_lock_of_a_driver_name_somebody(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    store = Store(tmp_path_factory.mktemp("locked"))
    path = store.sweep_folder("small") / "driver.lock"
    with lease(store, "small"):
        path.write_bytes(content)
        assert isinstance(holder(store, "small"), Holder)
        with pytest.raises(SweepInUseError, match="is being run by"), lease(store, "small"):
            pass


def test_an_altered_line_of_the_journal_is_named_with_what_to_do(finished: Path, tmp_path: Path) -> None:
    lines = (finished / "study.journal").read_bytes().splitlines(keepends=True)
    for wrong in (b"{\n", b"[1]\n", b'{"op_code": 4}\n', b'{"op_code": 99, "worker_id": ""}\n', b"\xff\xfe\n"):
        (tmp_path / "study.journal").write_bytes(b"".join([*lines[:5], wrong, *lines[6:]]))
        with pytest.raises(StudyDamagedError, match=r"study\.journal:6: .*cut it off before that line"):
            open_journal(tmp_path / "study.journal")


@pytest.mark.parametrize(
    "line", [DEEP, b"\xff\xfe", b"[1]", b'{"time": [], "address": {}, "cpus": "x", "gpus": null}', b"{}"]
)
def test_a_line_that_says_nothing_hides_none_of_the_others(finished: Path, tmp_path: Path, line: bytes) -> None:
    folder = tmp_path / "sweeps" / finished.name
    shutil.copytree(finished, folder)
    for name in ("failures.jsonl", "spent.jsonl"):
        first, *others = (finished / name).read_bytes().splitlines()
        (folder / name).write_bytes(b"\n".join([first, line, *others, b""]))
    store = Store(tmp_path)
    status = status_of(load_record(store, load_spec(store, folder.name)))
    assert status.retried == {"lost": 3}
    assert "3 of 9 CPU-hours" in status.budget
