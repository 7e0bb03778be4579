"""One broker, real Ray tasks: nothing is trained twice, and a failure reaches those who asked and nobody else."""

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.spec import Model, Resources, Sweep, Training, replace, yaml
from w2s_ray.stages.broker import start_broker
from w2s_ray.stages.errors import StoreUnavailableError
from w2s_ray.stages.run import run_once, run_warm
from w2s_ray.stages.stage import Stage, walk
from w2s_ray.stages.store import Store


def student(sweep: Sweep, seed: int = 0, **params: Any) -> Stage:
    roles = stages_of(Parts(sweep), Experiment(0, sweep.pairings[0].name, "naive", params, default=True))
    return roles["student"][sweep.seeds.index(seed)]


def starts(store: Store, sweep: Sweep) -> Counter[str]:
    lines = (store.sweep_folder(sweep.name) / "starts.jsonl").read_text(encoding="utf-8").splitlines()
    return Counter(json.loads(line)["address"] for line in lines)


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def test_concurrent_requests_for_one_stage_train_it_and_what_it_reads_once(ray: Any, small: Sweep) -> None:
    store = Store(small.store)
    broker = start_broker(store, small.name)
    wanted = [student(small), student(small), student(small, seed=1), student(small, lr=0.01), student(small, lr=0.01)]
    ray.get([broker.produce.remote(stage, trial) for trial, stage in enumerate(wanted)])
    distinct = {stage.address for stage in walk(*wanted)}
    assert all(store.has(address) for address in distinct)
    assert max(starts(store, small).values()) == 1
    # Depth 0 came with depth 1, from one pass over the texts.
    assert len(starts(store, small)) == len(distinct) == 1 + 2 + 2 + 3


def test_baselines_that_every_trial_waits_for_go_to_ray_before_all_students(ray: Any, small: Sweep) -> None:
    # Ray works in that order but for moments: it put one of these tasks behind all others in one of ten busy runs.
    store, parts, pairing = Store(small.store), Parts(small), small.pairings[0].name
    trials = [
        stages_of(parts, Experiment(number, pairing, "naive", {"lr": 0.001 * (number + 1)}, default=False))
        for number in range(4)
    ]
    broker = start_broker(store, small.name)
    wanted = [(stage, number) for number, graph in enumerate(trials) for of_role in graph.values() for stage in of_role]
    ray.get([broker.produce.remote(stage, number) for stage, number in wanted])
    roles = {stage.address: role for graph in trials for role, of_role in graph.items() for stage in of_role}
    order = [roles[address] for address in starts(store, small) if address in roles]
    assert sorted(order[:4]) == ["ceiling", "ceiling", "weak", "weak"]
    assert order[4:] == ["student"] * 8


def test_what_is_stored_is_not_started_again(ray: Any, small: Sweep) -> None:
    store = Store(small.store)
    ray.get(start_broker(store, small.name).produce.remote(student(small), 0))
    before = starts(store, small)
    ray.get(start_broker(store, small.name).produce.remote(student(small), 1))
    assert starts(store, small) == before


def test_a_failing_stage_tells_everyone_who_waits_and_leaves_the_rest_alone(ray: Any, small: Sweep) -> None:
    store = Store(small.store)
    broker = start_broker(store, small.name)
    models = {**small.models, "minilm-1": replace(small.models["minilm-1"], depth=99)}
    bad = student(replace(small, models=models))
    asked = [broker.produce.remote(bad, 0), broker.produce.remote(bad, 1)]
    for request in asked:
        with pytest.raises(Exception, match="99"):
            ray.get(request)
    ray.get(broker.produce.remote(student(small), 2))
    assert store.has(student(small).address)


def test_a_private_stage_is_cancelled_when_the_last_trial_that_wants_it_is_gone(ray: Any, small: Sweep) -> None:
    store = Store(small.store)
    broker = start_broker(store, small.name)
    ray.get(broker.produce.remote(student(small), 0))
    long = student(small, epochs=10_000)
    first, second = broker.produce.remote(long, 1), broker.produce.remote(long, 2)
    wait_for(lambda: ray.get(broker.progress.remote(long.address, 0)))
    ray.get(broker.release.remote(1))
    time.sleep(0.5)
    assert ray.get(broker.running.remote()) == [long.execution.label]
    ray.get(broker.release.remote(2))
    wait_for(lambda: not ray.get(broker.running.remote()))
    for request in (first, second):
        with pytest.raises(Exception, match=r"cancel|Cancel|Interrupt"):
            ray.get(request)
    assert not store.has(long.address)
    assert not store.work(long.address).exists()


@pytest.mark.slow
def test_two_workers_of_ray_train_give_the_student_that_one_gives(ray: Any, small: Sweep, tmp_path: Path) -> None:
    full = replace(small.models["minilm-1"], train="full", baseline=Training(lr=5e-5, epochs=1, eval_every=3))
    models: dict[str, Model] = {**small.models, "minilm-1": full}
    of_workers = []
    for workers in (1, 2):
        resources = {"default": Resources(workers=workers, cpus=1 if workers == 2 else 2)}
        sweep = replace(small, models=models, resources=resources, store=str(tmp_path / f"{workers}"))
        store, stage = Store(sweep.store), student(sweep, alpha=0.5)
        ray.get(start_broker(store, sweep.name).produce.remote(stage, 0))
        of_workers.append(store.get(stage.address).predictions())
    assert of_workers[0].ids.tolist() == of_workers[1].ids.tolist()
    np.testing.assert_allclose(of_workers[0].probabilities, of_workers[1].probabilities, atol=1e-4)


_WAITS_FOR_TWO = """
import os, sys, time

os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "2"
import ray
from w2s_ray.methods import Parts
from w2s_ray.spec import yaml
from w2s_ray.stages.broker import start_broker
from w2s_ray.stages.store import Store

sweep = yaml.load(sys.argv[1])
ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20)
broker = start_broker(Store(sweep.store), sweep.name)
ray.get(broker.produce.remote(Parts(sweep).examples, 0))

@ray.remote(num_cpus=1)
class Holder:
    def here(self):
        return True

holder = Holder.remote()
ray.get(holder.here.remote())
done = broker.produce.remote(Parts(sweep).baseline("minilm-1", "student", 0, "ceiling"), 0)
while not any("WorkerGroupStartupTimeout" in label for label in ray.get(broker.running.remote())):
    assert not ray.wait([done], timeout=0.1)[0], "it did not wait"
ray.kill(holder)
ray.get(done)
"""


@pytest.mark.slow
def test_a_group_that_finds_no_place_looks_again_and_that_is_no_failure(small: Sweep, tmp_path: Path) -> None:
    full = replace(small.models["minilm-1"], train="full", baseline=Training(lr=5e-5, epochs=1, eval_every=3))
    resources = {"default": Resources(workers=2, cpus=1, retries=0)}
    sweep = replace(small, models={**small.models, "minilm-1": full}, resources=resources)
    (tmp_path / "sweep.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    subprocess.run([sys.executable, "-c", _WAITS_FOR_TWO, str(tmp_path / "sweep.yaml")], check=True, timeout=300)
    store = Store(sweep.store)
    assert store.has(Parts(sweep).baseline("minilm-1", "student", 0, "ceiling").address)
    assert failures(store, sweep) == []


def failures(store: Store, sweep: Sweep) -> list[dict[str, Any]]:
    path = store.sweep_folder(sweep.name) / "failures.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def processes(title: str) -> list[psutil.Process]:
    """Those of this test's Ray that do what a title says."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if " ".join(one.cmdline()).startswith(title):
                found.append(one)
    return found


def test_a_failure_that_passes_is_tried_again_and_kept_on_record(ray: Any, small: Sweep) -> None:
    store, stage = Store(small.store), student(small)
    in_the_way = store.work(stage.address)
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    done = start_broker(store, small.name).produce.remote(stage, 0)
    wait_for(lambda: failures(store, small))
    in_the_way.unlink()
    ray.get(done)
    assert store.has(stage.address)
    assert {(line["address"], line["verdict"], line["again"]) for line in failures(store, small)} == {
        (stage.address, "failed", True)
    }


def test_a_stage_that_is_there_when_its_next_try_is_due_is_not_started_again(
    ray: Any, small: Sweep, tmp_path: Path
) -> None:
    small = replace(small, resources=replace(small.resources, default=Resources(retries=9)))
    store, stage = Store(small.store), student(small)
    broker = start_broker(store, small.name)
    ray.get(broker.produce.remote(stage, 0))
    store.place(stage.address).rename(tmp_path / "finished")
    store.work(stage.address).touch()  # so that each try fails, the third with a pause of 2 s after it
    done = broker.produce.remote(stage, 1)
    wait_for(lambda: len(failures(store, small)) == 3)
    before = starts(store, small)
    (tmp_path / "finished").rename(store.place(stage.address))
    ray.get(done)
    assert starts(store, small) == before


def test_a_failure_that_lasts_ends_after_its_retries_with_its_traceback(ray: Any, small: Sweep) -> None:
    small = replace(small, resources=replace(small.resources, default=Resources(retries=1)))
    store, stage = Store(small.store), student(small)
    store.work(stage.address).parent.mkdir(parents=True)
    store.work(stage.address).touch()
    with pytest.raises(OSError, match=stage.address):
        ray.get(start_broker(store, small.name).produce.remote(stage, 0))
    assert [line["again"] for line in failures(store, small)] == [True, False]
    assert all("in loop" in line["traceback"] for line in failures(store, small))


def test_a_stage_that_waits_for_a_place_is_shown_after_those_that_run_and_told_apart(ray: Any, small: Sweep) -> None:
    store, broker = Store(small.store), start_broker(Store(small.store), small.name)
    runs = student(small, epochs=10_000)
    asked = dataclasses.replace(runs.execution, label="a student too large", resources=Resources(cpus=4096))
    waits = dataclasses.replace(student(small, seed=1), execution=asked)
    ray.get(broker.produce.remote(Parts(small).examples, 0))
    requests = [broker.produce.remote(stage, 1) for stage in (waits, runs)]
    wait_for(lambda: ray.get(broker.progress.remote(runs.address, 0)))
    assert ray.get(broker.running.remote()) == [runs.execution.label, "a student too large (waits)"]
    ray.get(broker.release.remote(1))
    for request in requests:
        with pytest.raises(Exception, match=r"cancel|Cancel|Interrupt"):
            ray.get(request)
    assert not store.has(waits.address)


def test_rows_that_ray_brings_in_another_order_are_handed_on_in_theirs(ray: Any, small: Sweep) -> None:
    broker, address = start_broker(Store(small.store), small.name), student(small).address
    rows = [{"step": 2 * number + 2} for number in range(4)]

    def known(after: int = 0) -> list[int]:
        return [row["step"] for row in ray.get(broker.progress.remote(address, after))]

    for number, seen in ((1, []), (0, [2, 4]), (3, [2, 4]), (2, [2, 4, 6, 8])):
        ray.get(broker.note.remote(address, number, rows[number]))
        assert known() == seen
    assert known(after=4) == [6, 8]


def test_a_process_that_had_a_gpu_makes_one_stage_and_another_goes_on(ray: Any, small: Sweep, tmp_path: Path) -> None:
    def process(run: Any) -> str:
        with pytest.raises(StoreUnavailableError) as caught:
            ray.get(run.remote([student(small)], str(tmp_path / "no store"), small.name, None))
        return str(re.findall(r"pid=(\d+)", str(caught.value))[-1])

    assert process(run_once) != process(run_once)
    assert process(run_warm) == process(run_warm)


def test_a_process_that_is_killed_costs_no_retry(ray: Any, small: Sweep) -> None:
    small = replace(small, resources=replace(small.resources, default=Resources(retries=0, checkpoint_seconds=0.2)))
    store, stage = Store(small.store), student(small, epochs=4000)
    done = start_broker(store, small.name).produce.remote(stage, 0)
    title = f"ray::{stage.execution.label}"
    wait_for(lambda: list(store.work(stage.address).glob("checkpoints/*.safetensors")) and processes(title))
    processes(title)[0].kill()
    ray.get(done)
    assert [(line["verdict"], line["again"]) for line in failures(store, small)] == [("died", True)]


def test_a_driver_that_gives_up_or_leaves_touches_no_training_of_another(ray: Any, small: Sweep) -> None:
    """Two drivers on one store want one student; the second only waits, gives it up, waits again and is told to end."""
    quick = replace(small.resources, default=Resources(checkpoint_seconds=0.2))
    first, second = (replace(small, name=name, resources=quick) for name in ("first", "second"))
    store, long = Store(small.store), student(first, epochs=10_000)
    trains, waits = start_broker(store, first.name), start_broker(store, second.name)
    ray.get([broker.produce.remote(Parts(first).examples, 0) for broker in (trains, waits)])
    made = trains.produce.remote(long, 0)

    def steps() -> list[int]:
        return [row["step"] for row in ray.get(trains.progress.remote(long.address, 0))]

    def is_saved() -> bool:
        return bool(list(store.work(long.address).glob("checkpoints/*.safetensors")))

    def goes_on() -> None:
        seen = len(steps())
        assert is_saved(), "its checkpoint is gone"
        wait_for(lambda: len(steps()) > seen + 20)

    wait_for(lambda: steps() and is_saved())
    for end in (lambda: waits.release.remote(0), waits.drain.remote):
        awaited = waits.produce.remote(long, 0)
        wait_for(lambda: len(processes(f"ray::{long.execution.label}")) == 2)
        ray.get(end(), timeout=30)
        with pytest.raises(Exception, match=r"cancel|Cancel"):
            ray.get(awaited, timeout=30)
        wait_for(lambda: len(processes(f"ray::{long.execution.label}")) == 1)
        goes_on()
    assert failures(store, first) == failures(store, second) == []

    ray.get(trains.drain.remote(), timeout=30)
    with pytest.raises(Exception, match="stopped on request"):
        ray.get(made)
    assert is_saved()
    known = steps()
    resumed = start_broker(store, first.name)
    again = resumed.produce.remote(long, 0)
    wait_for(lambda: len(ray.get(resumed.progress.remote(long.address, 0))) > len(known) + 20)
    rows = [row["step"] for row in ray.get(resumed.progress.remote(long.address, 0))]
    assert rows[: len(known)] == known, "what the study may lack of an interrupted training is told again"
    assert rows == list(range(rows[0], rows[-1] + 1, rows[0]))
    ray.get(resumed.release.remote(0))
    with pytest.raises(Exception, match=r"cancel|Cancel"):
        ray.get(again, timeout=30)
    assert not store.work(long.address).exists()


def test_a_store_that_is_not_there_is_waited_for_and_the_wait_is_seen(ray: Any, small: Sweep) -> None:
    store, stage = Store(small.store), student(small)
    away = store.root.with_name("away")
    broker = start_broker(store, small.name)
    ray.get(broker.produce.remote(Parts(small).examples, 0))
    store.root.rename(away)
    done = broker.produce.remote(stage, 0)
    wait_for(
        lambda: any(label.startswith("paused (StoreUnavailableError") for label in ray.get(broker.running.remote()))
    )
    away.rename(store.root)
    ray.get(done)
    assert store.has(stage.address)
    assert failures(store, small) == []


def test_outcomes_are_handed_in_by_the_number_of_their_trials(ray: Any, small: Sweep) -> None:
    broker = start_broker(Store(small.store), small.name)
    for trial in (0, 1, 2):
        ray.get(broker.produce.remote(student(small), trial))
    second, third = broker.turn.remote(1), broker.turn.remote(2)
    assert not ray.wait([second, third], timeout=0.5)[0]
    ray.get(broker.turn.remote(0))
    ray.get([second, third])


def test_a_trial_that_ended_without_an_outcome_holds_up_nobody(ray: Any, small: Sweep) -> None:
    broker = start_broker(Store(small.store), small.name)
    for trial in (0, 1):
        ray.get(broker.produce.remote(student(small), trial))
    later = broker.turn.remote(1)
    assert not ray.wait([later], timeout=0.5)[0]
    ray.get(broker.release.remote(0))
    ray.get(later)
