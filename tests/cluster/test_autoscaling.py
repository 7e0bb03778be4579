"""A real sweep on a real autoscaling cluster of one machine: from no worker to three of two types, and back to none.

Driver, Tune, Optuna, broker, store, Ray and its autoscaler are real; the stages sleep, so that it is known who waits
for what. Weak models ask for `cheap` nodes and strong ones for `big` ones. W2S_TIMELINE names a file for what was seen.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from heads import TOKEN
from ports import free_port

from w2s_ray.spec import Sweep, yaml
from w2s_ray.stages.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HERE = Path(__file__).parent
ONE_MACHINE = HERE.parents[1] / "cluster" / "one_machine"
_CHEAP, _BIG = {"custom": {"cheap": 0.01}}, {"custom": {"big": 0.01}}
_MEAN = 4.0  # seconds of a training

Event = dict[str, Any]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a user of a new cluster, whose workers' stages sleep."""
    port = str(free_port())
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    code = [str(HERE.parent / "benchmarks"), os.environ.get("PYTHONPATH") or str(HERE.parents[1])]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    user = {**clean, "PATH": ":".join(paths), "PYTHONPATH": ":".join(code), "RAY_AUTH_TOKEN": TOKEN}
    user["RAY_raylet_start_wait_time_s"] = "240"  # other tests may keep the machine busy
    up = [ONE_MACHINE / "up", port]
    try:
        said = subprocess.run(up, env=user, capture_output=True, text=True, timeout=300, check=False)
        assert said.returncode == 0, said.stderr
        user |= dict(one.split("=") for one in said.stdout.split()[1:])
        assert Path(f"/tmp/w2s-{port}/environment").read_text(encoding="utf-8") == said.stdout
        hook = {"runtime_env": {"worker_process_setup_hook": "sleeping.install"}}
        yield {**user, "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(hook)}
    finally:
        subprocess.run([ONE_MACHINE / "down", port], env=user, timeout=60, check=False)


def sweep_of(small: Sweep) -> Sweep:
    data = small.model_dump(mode="json", by_alias=True, exclude_unset=True)
    resources = {
        "default": _CHEAP,
        "features": {"cpus": 1, **_CHEAP},
        "models": {"minilm-0": _CHEAP, "minilm-1": _BIG},
    }
    search = {"trials": 6, "parallelism": 6, "sampler": "random"}
    return Sweep.model_validate({**data, "resources": resources, "search": search, "tracking": {"enabled": False}})


def lines_of(path: Path) -> list[Event]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.2)


def nodes_up(events: list[Event]) -> int:
    return sum(1 if one["is_up"] else -1 for one in events)


def stages_of(store: Store, name: str) -> list[Event]:
    """Returns each stage with the times at which it was asked for, began and ended."""
    folder = store.sweep_folder(name)
    asked = {one["address"]: one for one in lines_of(folder / "starts.jsonl")}
    found: dict[str, Event] = {}
    for line in lines_of(folder / "spent.jsonl"):
        label = asked[line["address"]]["label"]
        stage = found.setdefault(line["address"], {"stage": label, "asked": asked[line["address"]]["time"]})
        stage["ended" if "seconds" in line else "began"] = line["time"]
    return list(found.values())


def changes_of(nodes: list[Event], stages: list[Event]) -> list[tuple[float, str, int]]:
    """Returns by how much the big nodes, the strong stages that wait and those that run change, and when."""
    strong = [one for one in stages if "minilm-1" in one["stage"]]
    changes = [(one["time"], "nodes", 1 if one["is_up"] else -1) for one in nodes if one["type"] == "big"]
    changes += [(one["asked"], "waiting", 1) for one in strong] + [(one["began"], "waiting", -1) for one in strong]
    changes += [(one["began"], "running", 1) for one in strong] + [(one["ended"], "running", -1) for one in strong]
    return sorted(changes)


def idle_while_wanted(changes: list[tuple[float, str, int]]) -> tuple[float, float]:
    """Returns the seconds of big nodes that stood idle while strong stages waited, and those in which they worked.

    They count from the time when all big nodes there ever are have work: a new one starts its first process before.
    """
    now = {"nodes": 0, "waiting": 0, "running": 0}
    most = max(sum(one[2] for one in changes[: end + 1] if one[1] == "nodes") for end in range(len(changes)))
    idle = busy = 0.0
    is_counted = False
    for (time_, what, by), (next_time, _, _) in pairwise(changes):
        now[what] += by
        is_counted = is_counted or now["running"] == most
        if is_counted:
            idle += (next_time - time_) * max(0, min(now["waiting"], now["nodes"] - now["running"]))
            busy += (next_time - time_) * now["running"]
    return idle, busy


def write_timeline(nodes: list[Event], stages: list[Event], start: float) -> None:
    path = os.environ.get("W2S_TIMELINE")
    if not path:
        return
    rows = [(one["time"], f"{one['type']} {one['node']} {'up' if one['is_up'] else 'down'}") for one in nodes]
    rows += [(one[what], f"{one['stage']} {what}") for one in stages for what in ("asked", "began", "ended")]
    Path(path).write_text("".join(f"{when - start:6.1f} {says}\n" for when, says in sorted(rows)), encoding="utf-8")


def test_a_sweep_starts_the_nodes_that_its_models_ask_for_and_leaves_none_behind(
    user: dict[str, str], small: Sweep, tmp_path: Path
) -> None:
    sweep, store = sweep_of(small), Store(small.store)
    store.make()
    (store.root / "mean").write_text(str(_MEAN), encoding="utf-8")
    (tmp_path / "sweep.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    doctor = [sys.executable, "-m", "w2s_ray", "doctor", "sweep.yaml", "--json"]
    told = subprocess.run(doctor, cwd=tmp_path, env=user, capture_output=True, text=True, timeout=300, check=False)
    needs = [one for one in json.loads(told.stdout)["findings"] if one["check"] == "resources"]
    assert [one["state"] for one in needs] == ["ok"] * 3, "it does not know the types of nodes that are not up"
    seen, start = tmp_path / "nodes.jsonl", time.time()
    with seen.open("w") as out:
        watch = subprocess.Popen([sys.executable, HERE / "timeline.py", user["RAY_ADDRESS"]], env=user, stdout=out)
    try:
        command = [sys.executable, "-m", "w2s_ray", "run", "sweep.yaml"]
        done = subprocess.run(command, cwd=tmp_path, env=user, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: nodes_up(lines_of(seen)) == 0, 120)
    finally:
        watch.terminate()
        nodes, stages = lines_of(seen), stages_of(store, sweep.name)
        write_timeline(nodes, stages, start)
    ups = [one for one in nodes if one["is_up"]]
    assert {one["type"] for one in ups} == {"cheap", "big"}
    assert max(nodes_up(nodes[: end + 1]) for end in range(len(nodes))) >= 3
    log = Path(f"/tmp/w2s-{user['RAY_ADDRESS'].split(':')[1]}/ray/session_latest/logs/monitor.log")
    assert "Adding 2 node(s) of type big" in log.read_text(encoding="utf-8"), "they were not asked for in one step"
    gone = [one["time"] for one in nodes if one["type"] == "cheap" and not one["is_up"]]
    assert min(gone) < max(one["ended"] for one in stages), "no cheap node went while strong stages still ran"
    idle, busy = idle_while_wanted(changes_of(nodes, stages))
    assert idle < 0.25 * busy, f"big nodes stood idle for {idle:.1f} s while work for them waited"
