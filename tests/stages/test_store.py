"""What is in the store is whole, whoever wrote it and however they ended."""

import json
import multiprocessing
from pathlib import Path

import pytest
from making import stage_of

from w2s_ray.stages.store import Store


def test_a_published_stage_is_found_with_its_numbers_and_files(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    assert not store.has(stage.address)
    with store.publish(stage, made_by="sweep") as draft:
        (draft.path / "curve.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
        draft.summary["test_accuracy"] = 0.75
    stored = store.get(stage.address)
    assert stored.record.summary == {"test_accuracy": 0.75}
    assert stored.record.made_by == "sweep"
    assert stored.record.identity == json.loads(json.dumps(stage.identity()))
    assert stored.curve() == [{"step": 1}]
    assert list(stored.record.files) == ["curve.jsonl"]


def test_a_stage_that_fails_half_written_leaves_nothing(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()

    def fail() -> None:
        with store.publish(stage) as draft:
            (draft.path / "half").write_text("x", encoding="utf-8")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert not store.has(stage.address)
    assert list((tmp_path / "stages").iterdir()) == []


def test_nothing_is_visible_before_the_stage_is_whole(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    with store.publish(stage) as draft:
        (draft.path / "weights.safetensors").write_bytes(b"x")
        assert not store.has(stage.address)
        assert store.read(stage.address) is None
    assert store.has(stage.address)


def test_publishing_removes_the_stages_checkpoints(tmp_path: Path) -> None:
    store, stage = Store(tmp_path), stage_of()
    store.work(stage.address).mkdir(parents=True)
    with store.publish(stage):
        pass
    assert not store.work(stage.address).exists()


def publish(root: str, writer: int) -> None:
    with Store(root).publish(stage_of(), made_by=str(writer)) as draft:
        (draft.path / "curve.jsonl").write_text("{}\n" * 1000, encoding="utf-8")


def test_of_two_writers_of_one_stage_one_wins_and_neither_fails(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=publish, args=(str(tmp_path), number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert len(Store(tmp_path).get(stage_of().address).curve()) == 1000
    assert [path.name for path in (tmp_path / "stages").iterdir()] == [stage_of().address]


def test_asking_for_a_stage_that_is_not_there_names_it_and_the_store(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=f"stage {stage_of().address} is not in"):
        Store(tmp_path).get(stage_of().address)
