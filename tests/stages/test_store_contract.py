"""What a store promises, wherever it is: the same tests over a folder and over a server that speaks S3."""

import pickle
import threading
from pathlib import Path

import buckets
import pytest
from making import stage_of

from w2s_ray.stages.claim import claim, drop_unclaimed
from w2s_ray.stages.errors import DamagedStageError, StoreUnavailableError
from w2s_ray.stages.integrity import forget_checked
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

CURVE = '{"step": 1}\n'


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store that was made."""
    place = str(tmp_path / "store")
    if request.param == "s3":
        port = request.getfixturevalue("s3")
        buckets.use(monkeypatch, port)
        monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
        place = f"s3://{buckets.make_bucket(port)}/some runs/a"
    made = open_store(place)
    made.make()
    return made


def publish(store: Store, stage: Stage, made_by: str = "sweep", text: str = CURVE) -> None:
    with store.publish(stage, made_by) as draft:
        (draft.path / "curve.jsonl").write_text(text, encoding="utf-8")
        draft.summary["test_accuracy"] = 0.75


def damage(store: Store, address: str, name: str) -> None:
    """Alters a file of a stage where it lies, which is not the copy of a machine."""
    if isinstance(store, ObjectStore):
        (key,) = (key for key in store.objects.listing(f"stages/{address}/") if key.endswith(f"/{name}"))
        store.objects.put(key, b"altered")
        (store.place(address) / name).unlink(missing_ok=True)
    else:
        (store.place(address) / name).write_bytes((store.place(address) / name).read_bytes().swapcase())
    forget_checked()


def test_a_published_stage_is_found_with_its_numbers_and_files(store: Store) -> None:
    stage = stage_of()
    assert not store.has(stage.address)
    publish(store, stage)
    stored = store.get(stage.address)
    assert (stored.record.summary, stored.record.made_by) == ({"test_accuracy": 0.75}, "sweep")
    assert stored.curve() == [{"step": 1}]
    assert list(stored.record.files) == ["curve.jsonl"]
    assert store.read_all([stage.address, stage_of(1).address])[stage_of(1).address] is None


def test_a_stage_is_not_there_before_it_is_whole_and_nothing_is_left_of_one_that_fails(store: Store) -> None:
    stage = stage_of()

    def fail() -> None:
        with store.publish(stage) as draft:
            (draft.path / "half").write_text("x", encoding="utf-8")
            assert not store.has(stage.address)
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert store.read(stage.address) is None
    assert list((store.root / "stages").iterdir()) == []


def test_of_several_writers_of_one_stage_one_wins_and_neither_fails(store: Store) -> None:
    stage, began = stage_of(), threading.Barrier(4)
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with store.publish(stage, str(number)) as draft:
                (draft.path / "curve.jsonl").write_text(CURVE * 100, encoding="utf-8")
                began.wait(60)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert len(store.get(stage.address).curve()) == 100
    if isinstance(store, ObjectStore):
        keys = list(store.objects.listing(f"stages/{stage.address}/"))
        assert len(keys) == 2  # the marker and the winner's file: what the others sent is gone


def test_the_first_of_two_writers_stays(store: Store) -> None:
    publish(store, stage_of(), "first")
    publish(store, stage_of(), "second")
    assert store.get(stage_of().address).record.made_by == "first"


def test_a_damaged_file_is_found_and_the_stage_is_made_again(store: Store) -> None:
    stage = stage_of()
    publish(store, stage, "first")
    damage(store, stage.address, "curve.jsonl")
    with pytest.raises(DamagedStageError, match=stage.address):
        store.get(stage.address).curve()
    assert not store.has(stage.address)
    publish(store, stage, "second")
    assert store.get(stage.address).record.made_by == "second"
    assert store.get(stage.address).curve() == [{"step": 1}]


def test_checkpoints_are_gone_once_the_stage_is_finished(store: Store) -> None:
    stage = stage_of()
    store.work(stage.address).mkdir(parents=True)
    publish(store, stage)
    assert not store.work(stage.address).exists()
    assert store.newest_checkpoint(stage.address) is None


def test_what_somebody_makes_is_not_dropped_by_who_gave_it_up(store: Store) -> None:
    address = stage_of().address
    store.work(address).mkdir(parents=True)
    with claim(store, address) as is_held:
        assert is_held
        with claim(store, address, wait=False) as is_held_twice:
            assert not is_held_twice
        drop_unclaimed(store, address)
        assert store.work(address).exists()
    drop_unclaimed(store, address)
    assert not store.work(address).exists()


def test_one_at_a_time_makes_a_stage(store: Store) -> None:
    inside, most = 0, 0

    def make() -> None:
        nonlocal inside, most
        with claim(store, stage_of().address):
            inside += 1
            most = max(most, inside)
            inside -= 1

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_store_that_is_gone_says_so_before_anything_is_made(
    tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.use(monkeypatch, s3)
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    for place in (str(tmp_path / "nothing"), f"s3://{buckets.make_bucket(s3)}", "s3://no-such-bucket-here/x"):
        with pytest.raises(StoreUnavailableError, match=r"the store .* (is gone|has no such bucket)"):
            open_store(place).must_exist("making a stage")


def test_a_store_crosses_processes(store: Store) -> None:
    publish(store, stage_of())
    again: Store = pickle.loads(pickle.dumps(store))
    assert again.has(stage_of().address)
    assert again.uri == store.uri


def test_a_sweeps_folder_is_found_by_what_is_in_it(store: Store) -> None:
    folder = store.sweep_folder("one")
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("x", encoding="utf-8")
    store.send_sweep("one")
    assert store.sweeps() == ["one"]
    assert store.sweeps_with("tasks.json") == []
