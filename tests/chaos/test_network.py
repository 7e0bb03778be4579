"""On three machines with a network between them: one is cut off, one goes for good, and the head is started anew."""

import json
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import (
    LAST_WORKER_SECONDS,
    differences,
    end_all,
    findings,
    leftovers,
    prepared,
    repeated,
    said,
    start_driver,
    stored_addresses,
    until,
)
from machines import Machine, machines

pytestmark = pytest.mark.slow

_PORT = 6379
_CUT_SECONDS = 60.0


@pytest.fixture
def network(tmp_path: Path) -> Iterator[list[Machine]]:
    """A machine for the head and two others; none of their processes outlives the test."""
    with machines(tmp_path, str(tmp_path), 3) as made:
        yield made
    end_all(str(tmp_path), patience=0)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for Ray's sockets, whose paths must not be long."""
    folder = Path(f"/tmp/w2s-{uuid.uuid4().hex[:6]}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def kept_up(machine: Machine, start: Callable[[Machine], None]) -> Iterator[None]:
    """Starts Ray on a machine whenever it has ended, as a pod is: a node that was called dead ends itself."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.5):
            if not machine.has_ray():
                machine.lose_power()  # of what is left of the old one
                start(machine)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def begun(store: Path) -> list[dict[str, Any]]:
    """Returns a line for each time that a stage's work began; a stage that waited for a place had not begun."""
    path = store / "sweeps/quickstart/spent.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [line for line in map(json.loads, lines) if "seconds" not in line]


def until_next(store: Path, since: float) -> float:
    """Waits until the next stage begins and returns the seconds that this took."""
    until(lambda: any(line["time"] > since for line in begun(store)))
    return next(line["time"] for line in begun(store) if line["time"] > since) - since


def test_a_node_cut_off_a_node_lost_and_a_new_head_leave_no_trace(
    network: list[Machine], short: Path, reference: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, cut, lost = network
    mark, address = str(tmp_path), f"{head.address}:{_PORT}"
    plan = {"default": {"retries": 0}, "features": {"cpus": 1, "retries": 0}}
    store = prepared(tmp_path, resources=plan) / "w2s-runs"

    def start_head() -> None:
        options = ["--num-cpus=0", "--include-dashboard=false", f"--temp-dir={short}"]
        head.start_ray("--head", f"--port={_PORT}", *options)

    def join(machine: Machine) -> None:
        machine.start_ray(f"--address={address}", "--num-cpus=1")

    def started(command: str, *arguments: str) -> Any:
        return start_driver(tmp_path, mark, command, *arguments, log=command, inside=head.command())

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex * 2)
    monkeypatch.setenv("RAY_ADDRESS", address)
    start_head()
    join(cut)
    join(lost)
    driver = started("run", "quickstart.yaml")

    with kept_up(cut, join):
        until(cut.works)
        cut.pull_cable()
        since = time.time()
        time.sleep(_CUT_SECONDS)
        cut.plug_in()
        print(f"cut off for {_CUT_SECONDS:.0f} s: the next stage began {until_next(store, since):.0f} s after the cut")

        until(lambda: len(stored_addresses(store)) >= 8 and lost.works())
        lost.lose_power()
        since = time.time()
        print(f"lost for good: the next stage began {until_next(store, since):.0f} s later")

        until(lambda: len(stored_addresses(store)) >= 16 and cut.works())
    head.lose_power()
    since = time.time()
    assert driver.wait(timeout=30) == -9
    cut.lose_power()
    start_head()
    join(cut)
    driver = started("resume", "quickstart")
    print(f"new head and node: the next stage began {until_next(store, since):.0f} s after the old one's end")
    assert driver.wait(timeout=500) == 0, said(tmp_path, "resume")

    assert differences(reference, findings(tmp_path)) == []
    assert repeated(store) == leftovers(store) == []
    again = [count - 1 for count in Counter(line["address"] for line in begun(store)).values()]
    assert sum(again) <= 3, "more was begun again than what was in flight"
    for machine in (head, cut):
        machine.lose_power()
    assert end_all(mark, LAST_WORKER_SECONDS) == []
