"""What a stage's process used is measured seldom, kept over interruptions, and no part of what the stage is."""

import json
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.spec import Loss, Training
from w2s_ray.stages.record import DamageError, StageRecord
from w2s_ray.stages.stage import Finetune, ModelIdentity, Stage
from w2s_ray.stages.store import Store
from w2s_ray.stages.usage import USAGE, Usage, read_usage

STAGE = Stage(
    Finetune(
        model=ModelIdentity(weights="w", depth=0, pooling="mean", max_length=8),
        train="head",
        half="weak",
        loss=Loss(),
        training=Training(),
        seed=0,
    )
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_look_says_how_busy_machine_and_process_are(tmp_path: Path) -> None:
    usage = Usage(tmp_path / USAGE)
    sum(range(100_000))
    usage.look()
    [look] = read_usage(tmp_path / USAGE)
    assert set(look) == {
        *("time", "cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage"),
        *("process_cpu_percentage", "process_memory_megabytes"),
    }
    assert 1 < look["process_memory_megabytes"] < look["system_memory_usage_megabytes"] * 10
    assert 0 < look["system_memory_usage_percentage"] <= 100


def test_looks_come_every_five_seconds_and_then_ever_more_seldom(tmp_path: Path) -> None:
    clock = Clock()
    usage = Usage(tmp_path / USAGE, clock=clock)
    counts = []
    for second in range(1, 4001):
        clock.now = float(second)
        usage.look_if_due()
        if second in (4, 100, 4000):
            counts.append(len(read_usage(tmp_path / USAGE)))
    assert counts[:2] == [0, 20]
    assert 80 < counts[2] < 100


def test_looks_of_an_interrupted_training_are_kept_but_for_one_that_was_cut(tmp_path: Path) -> None:
    Usage(tmp_path / USAGE).look()
    with (tmp_path / USAGE).open("a", encoding="utf-8") as file:
        file.write('\n{"time": 1, "cpu_util')
    Usage(tmp_path / USAGE).look()
    assert len(read_usage(tmp_path / USAGE)) == 2


def test_usage_is_in_the_stages_record_and_in_no_checksum(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.publish(STAGE) as draft:
        draft.usage = [{"time": 1.0, "process_cpu_percentage": 99.0}]
    record = store.get(STAGE.address).record
    assert record.usage == [{"time": 1.0, "process_cpu_percentage": 99.0}]
    without = json.loads(record.to_json())
    del without["usage"]  # as a version before wrote it
    assert StageRecord.from_json(json.dumps(without).encode(), record.address).usage == []


@pytest.mark.parametrize("usage", [{}, [1], [{"cpu": 1}], [{"time": "now"}], [{"time": True}]])
def test_what_is_no_usage_is_damage(tmp_path: Path, usage: Any) -> None:
    store = Store(tmp_path / "store")
    with store.publish(STAGE):
        pass
    record = store.get(STAGE.address).record
    altered = {**json.loads(record.to_json()), "usage": usage}
    with pytest.raises(DamageError, match="usage"):
        StageRecord.from_json(json.dumps(altered).encode(), record.address)
