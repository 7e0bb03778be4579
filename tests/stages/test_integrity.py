"""Whatever a disk, a crash or a hand does to a store: nothing damaged is read as whole, and it is made again."""

import asyncio
import errno
import json
import os
import pickle
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import stage_of
from safetensors.numpy import save_file

from tests.stages.test_broker import starts, student
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages import integrity
from w2s_ray.stages.again import read_or_make
from w2s_ray.stages.artifacts import Predictions
from w2s_ray.stages.broker import Broker, start_broker
from w2s_ray.stages.errors import DamagedStageError, MissingStageError, StoreUnavailableError, cause_of, must_exist
from w2s_ray.stages.integrity import forget_checked
from w2s_ray.stages.record import StageRecord
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

CONTENT = '{"step": 1}\n' * 20


@pytest.fixture(autouse=True)
def _looks_into_every_file() -> None:
    forget_checked()


def publish(store: Store, stage: Stage) -> Path:
    with store.publish(stage) as draft:
        (draft.path / "curve.jsonl").write_text(CONTENT, encoding="utf-8")
        draft.summary = {"test_accuracy": 0.75}
    return store.place(stage.address)


def flip(path: Path, at: int = 10) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def put_aside(store: Store) -> list[str]:
    folder = store.root / "aside"
    return sorted(path.name.split("-")[0] for path in folder.iterdir()) if folder.is_dir() else []


Damage = Callable[[Path], None]
SEEN_AT_ONCE: dict[str, Damage] = {
    "a shorter file": lambda place: (place / "curve.jsonl").write_text(CONTENT[:-5], encoding="utf-8") and None,
    "a missing file": lambda place: (place / "curve.jsonl").unlink(),
    "a folder in place of a file": lambda place: ((place / "curve.jsonl").unlink(), (place / "curve.jsonl").mkdir())[1],
    "no record": lambda place: (place / "stage.json").unlink(),
    "an empty record": lambda place: (place / "stage.json").write_bytes(b"") and None,
    "half a record": lambda place: os.truncate(place / "stage.json", 100),
    "another stage's record": lambda place: _edit(place, address="0" * 32),
    "an altered identity": lambda place: _edit(place, identity={"kind": "finetune", "inputs": {}}),
    "a record that lacks a key": lambda place: _edit(place, files=None),
    "a record without its checksum": lambda place: _edit(place, checksum=None),
    "an altered number": lambda place: _edit(place, summary={"test_accuracy": 0.99}),
}


def _edit(place: Path, **changes: Any) -> None:
    data = {**json.loads((place / "stage.json").read_bytes()), **changes}
    (place / "stage.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


@pytest.mark.parametrize("damage", SEEN_AT_ONCE.values(), ids=SEEN_AT_ONCE)
def test_a_stage_seen_to_be_damaged_is_put_aside_with_a_warning_and_counts_as_not_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Damage
) -> None:
    store, stage = Store(tmp_path), stage_of()
    damage(publish(store, stage))
    assert not store.has(stage.address)
    assert put_aside(store) == [stage.address]
    assert f"stage {stage.address} has" in caplog.text
    assert "put aside to" in caplog.text
    publish(store, stage)
    assert store.get(stage.address).curve()[0] == {"step": 1}


def test_an_altered_file_of_the_same_size_is_found_when_it_is_first_used(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    flip(publish(store, stage) / "curve.jsonl")
    stored = store.get(stage.address)
    with pytest.raises(DamagedStageError, match="whose checksum is"):
        stored.curve()
    assert not store.has(stage.address)
    assert put_aside(store) == [stage.address]
    with pytest.raises(MissingStageError):
        store.get(stage.address)


def test_a_file_is_read_for_its_checksum_once_in_a_process_and_again_when_it_changed(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    path = publish(store, stage) / "curve.jsonl"
    stat = path.stat()
    store.get(stage.address).curve()
    flip(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store.get(stage.address).file("curve.jsonl")  # as long as nothing tells that it changed
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(DamagedStageError):
        store.get(stage.address).file("curve.jsonl")


def test_a_stage_is_published_over_a_damaged_one(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    with store.publish(stage) as draft:
        flip(publish(store, stage) / "curve.jsonl")
        (draft.path / "curve.jsonl").write_text(CONTENT, encoding="utf-8")
    assert store.get(stage.address).curve() == [{"step": 1}] * 20
    assert put_aside(store) == [stage.address]


def test_what_was_made_again_between_look_and_move_is_put_back(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    place = publish(store, stage)
    damaged = place.stat().st_ino
    place.rename(tmp_path / "moved by someone else")
    publish(store, stage)
    integrity.put_aside(place, damaged, "has no stage.json")
    assert store.has(stage.address)
    assert put_aside(store) == []


def test_a_file_that_a_stage_never_had_is_named(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    publish(store, stage)
    with pytest.raises(FileNotFoundError, match=r"has no weights\.safetensors"):
        store.get(stage.address).file("weights.safetensors")


def test_a_record_from_before_sizes_and_one_from_a_later_version_are_read(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    place = publish(store, stage)
    _edit(place, sizes=None, checksum=None, a_later_key={"x": 1})
    assert store.get(stage.address).curve() == [{"step": 1}] * 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("address", "identity", "label", "summary", "seconds", "made_by", "finished_at", "files", "sizes", "dropped")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.just(b"[" * 100_000)
    | st.just(b'{"address":' * 100_000)
)
def test_any_bytes_as_a_record_mean_that_the_stage_is_not_there(tmp_path: Path, content: bytes) -> None:
    store, stage = Store(tmp_path), stage_of()
    place = publish(store, stage)
    (place / "stage.json").write_bytes(content)
    assert store.read(stage.address) is None
    assert not place.exists()
    shutil.rmtree(tmp_path / "aside")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(KEYS), value=JSON, sealed=st.booleans())
def test_any_value_of_any_key_of_a_record_gives_a_stage_or_none_and_reading_it_a_clear_error(
    tmp_path: Path, key: str, value: Any, sealed: bool
) -> None:
    store, stage = Store(tmp_path), stage_of()
    place = publish(store, stage)
    _edit(place, **({} if sealed else {"checksum": None, "sizes": None}))
    _edit(place, **{key: value})
    stored, said = store.read(stage.address), None
    if stored is not None:
        assert isinstance(stored.record, StageRecord)
        try:
            assert stored.curve() == [{"step": 1}] * 20
        except (DamagedStageError, FileNotFoundError) as error:
            said = str(error)
    assert said is None or stage.address in said
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()


@pytest.mark.parametrize(
    "error",
    [
        MissingStageError("a" * 32, "is not in /store"),
        DamagedStageError("a" * 32, "has no stage.json"),
        DamagedStageError("a" * 32),
        StoreUnavailableError(errno.ENOSPC, "the store /store is full"),
    ],
)
def test_errors_of_the_store_cross_processes_and_ray_as_they_are(ray: Any, error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))

    @ray.remote
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        ray.get(fail.remote())
    found = cause_of(caught.value, type(error))
    assert type(found) is type(error)
    assert str(found) == str(error)


def test_an_error_is_found_in_what_ray_train_wraps_it() -> None:
    class WorkerGroupError(RuntimeError):
        worker_failures: dict[int, Exception] = {}  # noqa: RUF012 - Ray's own shape

    wrapped, inner = WorkerGroupError("training failed"), DamagedStageError("a" * 32)
    wrapped.worker_failures = {0: ValueError("x"), 1: inner}
    assert cause_of(wrapped, MissingStageError) is inner
    assert cause_of(wrapped, StoreUnavailableError) is None


def test_reading_goes_on_after_making_what_was_missing_and_gives_up_in_the_end() -> None:
    made: list[int] = []

    def read(needed: int) -> str:
        if len(made) < needed:
            raise DamagedStageError("a" * 32)
        return "read"

    assert read_or_make(lambda: read(2), lambda: made.append(1)) == "read"
    assert len(made) == 2
    with pytest.raises(DamagedStageError):
        read_or_make(lambda: read(99), lambda: made.append(1))


def test_a_trial_of_which_many_stages_are_damaged_reads_them_all_in_the_end() -> None:
    made: list[int] = []

    def read() -> str:
        if len(made) < 12:
            raise DamagedStageError(f"{len(made):032x}")
        return "read"

    assert read_or_make(read, lambda: made.append(1)) == "read"


# A store that cannot be used.


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    return disk_of("512k")


def big(path: Path) -> None:
    path.write_bytes(bytes(2_000_000))


def big_safetensors(path: Path) -> None:
    save_file({"features": np.zeros(500_000, dtype=np.float32)}, path)


def big_parquet(path: Path) -> None:
    probabilities = np.random.default_rng(0).random((200_000, 2), dtype=np.float32)
    ids = np.arange(200_000).astype(str)
    Predictions(ids, np.full(200_000, "test"), probabilities).write(path)


@pytest.mark.parametrize("write", [big, big_safetensors, big_parquet])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(small_disk: Path, write: Damage) -> None:
    store, stage = Store(small_disk), stage_of()
    publish(store, stage_of(1))

    def fill() -> None:
        with store.publish(stage) as draft:
            write(draft.path / "curve.jsonl")

    with pytest.raises(StoreUnavailableError, match=r"is full .*No space left.*w2s gc.*resume") as caught:
        fill()
    assert str(small_disk) in str(caught.value)
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in (small_disk / "stages").iterdir()] == [stage_of(1).address]
    assert store.has(stage_of(1).address)
    publish(store, stage)
    assert store.has(stage.address)


def test_a_disk_too_full_for_the_record_alone_leaves_nothing_either(small_disk: Path) -> None:
    store, stage = Store(small_disk), stage_of()
    (small_disk / "stages").mkdir()

    def fill() -> None:
        with store.publish(stage) as draft:
            (draft.path / "curve.jsonl").write_text(CONTENT, encoding="utf-8")
            with (small_disk / "filler").open("wb", buffering=0) as file:
                while True:
                    try:
                        file.write(bytes(4096))
                    except OSError:
                        break

    with pytest.raises(StoreUnavailableError, match="is full"):
        fill()
    assert list((small_disk / "stages").iterdir()) == []


def test_a_read_only_store_is_named_with_what_to_do(small_disk: Path) -> None:
    store = Store(small_disk)
    publish(store, stage_of())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailableError, match=r"is read-only .*--store"):
        publish(store, stage_of(1))
    assert store.get(stage_of().address).curve() == [{"step": 1}] * 20


def test_a_damaged_stage_in_a_read_only_store_counts_as_not_there_and_stays(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(small_disk)
    (publish(store, stage_of()) / "curve.jsonl").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert not store.has(stage_of().address)
    assert "cannot be put aside" in caplog.text


def test_a_store_that_vanished_is_not_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    with pytest.raises(StoreUnavailableError, match=f"{re.escape(str(root))} is gone"):
        must_exist(root, "making weak")
    assert not root.exists()
    Store(root).make()
    must_exist(root, "making weak")


def test_the_empty_folder_that_a_lost_mount_leaves_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="is gone"):
        must_exist(tmp_path, "making weak")


def test_a_store_that_vanishes_while_publishing_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "mount")

    def lose() -> None:
        with store.publish(stage_of()):
            shutil.rmtree(store.root)

    with pytest.raises(StoreUnavailableError, match="is gone"):
        lose()


def test_errors_that_are_not_about_the_store_pass_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.make()

    def fail(error: Exception) -> None:
        with store.publish(stage_of()):
            raise error

    elsewhere = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "reviews.csv"))
    for error in (elsewhere, FileNotFoundError(errno.ENOENT, "No such file", "x"), ValueError("a bad row")):
        with pytest.raises(type(error)) as caught:
            fail(error)
        assert caught.value is error


# With real Ray: damage costs the damaged stage and nothing else.


def test_a_damaged_supervisor_is_put_aside_and_made_again_when_a_new_student_needs_it(ray: Any, small: Sweep) -> None:
    store, first, second = Store(small.store), student(small), student(small, lr=0.01)
    ray.get(start_broker(store, small.name).produce.remote(first, 0))
    weak = first.inputs["labels"]
    before = store.get(weak.address).predictions()
    flip(store.place(weak.address) / "predictions.parquet", 200)

    ray.get(start_broker(store, small.name).produce.remote(second, 1))
    assert store.has(second.address)
    assert put_aside(store) == [weak.address]
    again = store.get(weak.address).predictions()
    assert np.array_equal(again.probabilities, before.probabilities)
    counts = starts(store, small)
    assert (counts[weak.address], counts[second.address], counts[first.address]) == (2, 2, 1)


def test_a_supervisor_that_is_damaged_every_time_fails_the_student_after_a_few_tries(small: Sweep) -> None:
    stage, runs = student(small), []

    class Spoiled(Broker):
        async def _attempt(self, batch: list[Stage]) -> None:
            runs.append(batch[0].address)
            raise DamagedStageError(batch[0].inputs["labels"].address)

    with pytest.raises(DamagedStageError):
        asyncio.run(Spoiled(small.store, small.name, patience=0, kinds=()).produce(stage, 0))
    assert runs == [stage.address] * 4


def test_a_full_store_fails_a_stage_with_the_stores_own_error(ray: Any, small_disk: Path, small: Sweep) -> None:
    sweep = replace(small, store=str(small_disk))
    store = Store(sweep.store)
    with pytest.raises(Exception, match="is full") as caught:
        ray.get(start_broker(store, sweep.name, patience=3).produce.remote(student(sweep), 0))
    found = cause_of(caught.value, StoreUnavailableError)
    assert found is not None
    assert found.errno == errno.ENOSPC
    assert not [path for path in (small_disk / "stages").iterdir() if path.name.startswith(".")]
