"""What a sweep used is the same sum for the driver that ran it and for one that comes after a kill."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.spec import Resources, Sweep, replace
from w2s_ray.stages.broker import start_broker
from w2s_ray.stages.diary import Diary
from w2s_ray.stages.spent import Meter, began, ended
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import SPENT
from w2s_ray.stages.usage import USAGE

HOUR = 3600.0


@pytest.fixture
def store(small: Sweep) -> Store:
    return Store(small.store)


@pytest.fixture
def stage(small: Sweep) -> Stage:
    """Of two workers with three CPUs and half a GPU each."""
    plan = replace(small.resources, default=Resources(cpus=3, gpus=0.5, workers=2))
    return Parts(replace(small, resources=plan)).baseline("minilm-0", "weak", 0, "weak")


def write(store: Store, *lines: dict[str, Any]) -> None:
    path = store.sweep_folder("small") / SPENT
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def written(store: Store) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (store.sweep_folder("small") / SPENT).read_text("utf-8").splitlines()]


def look(store: Store, stage: Stage, *times: float) -> None:
    store.work(stage.address).mkdir(parents=True, exist_ok=True)
    with (store.work(stage.address) / USAGE).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"time": time}) + "\n" for time in times)


def hours(store: Store, now: float = 1e9) -> tuple[float, float]:
    used = Meter(store, "small").used(now)
    return pytest.approx(used.cpu_hours), pytest.approx(used.gpu_hours)


def test_a_sweep_that_ran_nothing_used_nothing(store: Store) -> None:
    assert hours(store) == (0, 0)


def test_all_workers_count_for_as_long_as_they_worked(store: Store, stage: Stage) -> None:
    write(store, began(stage, 100.0), ended(stage, 100.0 + HOUR, HOUR))
    assert hours(store) == (6, 1)


def test_a_stage_that_runs_counts_until_now(store: Store, stage: Stage) -> None:
    meter = Meter(store, "small")
    write(store, began(stage, 0.0))
    assert meter.used(HOUR / 2).cpu_hours == pytest.approx(3)
    write(store, ended(stage, HOUR, HOUR))
    assert meter.used(5 * HOUR).cpu_hours == pytest.approx(6)


def test_what_a_killed_driver_left_counts_until_its_last_look(store: Store, stage: Stage) -> None:
    write(store, began(stage, 0.0))
    assert hours(store) == (0, 0)
    look(store, stage, HOUR / 2, HOUR)
    assert hours(store) == (6, 1)
    # The next driver makes it again, from its checkpoint, and the looks of both are in its record.
    write(store, began(stage, 10 * HOUR))
    look(store, stage, 10 * HOUR + 5)
    write(store, ended(stage, 11 * HOUR, HOUR))
    assert hours(store) == (12, 2)
    looks = [{"time": time} for time in (HOUR / 2, HOUR, 10 * HOUR + 5)]
    with store.publish(stage) as draft:
        draft.usage, draft.seconds = looks, {"stage": HOUR}
    assert hours(store) == (12, 2)


def test_a_torn_line_says_nothing_and_hides_nothing(store: Store, stage: Stage) -> None:
    meter = Meter(store, "small")
    write(store, ended(stage, HOUR, HOUR))
    path = store.sweep_folder("small") / SPENT
    with path.open("a", encoding="utf-8") as file:
        file.write('{"time": 3')
    assert meter.used(HOUR).cpu_hours == pytest.approx(6)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")
    write(store, ended(stage, HOUR, HOUR))
    assert meter.used(HOUR).cpu_hours == pytest.approx(12)


def test_a_line_that_a_kill_tore_costs_no_line_of_the_next_driver(store: Store, stage: Stage) -> None:
    store.make()
    write(store, began(stage, 100.0))
    with (store.sweep_folder("small") / SPENT).open("a", encoding="utf-8") as file:
        file.write('{"time": 3')
    Diary(store, "small").ended(stage, HOUR)
    assert hours(store) == (6, 1)


def test_a_clock_that_is_set_back_takes_back_nothing_that_was_used(
    store: Store, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.make()
    diary, now = Diary(store, "small"), time.time()
    diary.begun(stage)
    monkeypatch.setattr(time, "time", lambda: now - HOUR)
    diary.ended(stage, None)
    assert Meter(store, "small").used(0).cpu_hours == pytest.approx(0, abs=0.01)
    assert min(line["seconds"] for line in written(store) if "seconds" in line) > 0


def test_lines_that_a_full_disk_did_not_take_are_written_once_it_does(
    disk_of: Callable[[str], Path], stage: Stage
) -> None:
    disk = disk_of("64k")
    store = Store(disk)
    store.make()
    diary, filler = Diary(store, "small"), disk / "filler"
    diary.begun(stage)
    filler.write_bytes(bytes(60 << 10))
    for _ in range(30):
        diary.ended(stage, 1.0)
        diary.begun(stage)
    assert (store.sweep_folder("small") / SPENT).read_bytes().endswith(b"\n")
    assert len(written(store)) < 61
    filler.unlink()
    diary.ended(stage, 1.0)
    assert [line.get("seconds") for line in written(store)] == [None, 1.0] * 31


def test_the_broker_writes_what_stages_took_also_where_they_fail(ray: Any, small: Sweep, store: Store) -> None:
    broker = start_broker(store, small.name)
    ray.get(broker.produce.remote(Parts(small).baseline("minilm-0", "weak", 0, "weak"), 0))
    models = {**small.models, "minilm-1": replace(small.models["minilm-1"], train="full", depth=99)}
    bad = Parts(replace(small, models=models)).baseline("minilm-1", "weak", 0, "weak")
    with pytest.raises(Exception, match="99"):
        ray.get(broker.produce.remote(bad, 0))
    lines = [json.loads(line) for line in (store.sweep_folder(small.name) / SPENT).read_text().splitlines()]
    done = {line["address"]: line["seconds"] for line in lines if "seconds" in line}
    stored = {path.name for path in (store.root / "stages").iterdir()}
    features = [one for one in stored if store.get(one).record.kind == "features"]
    assert {*done, *features} == {*stored, bad.address}, "features of several depths are one line"
    assert all(seconds > 0 for seconds in done.values())
    assert Meter(store, small.name).used(0).cpu_hours > 0
