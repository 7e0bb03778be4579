"""A sweep that was interrupted anywhere, any number of times, cannot be told from one that was left alone."""

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import (
    ORDERLY_SECONDS,
    complaints,
    differences,
    end_all,
    findings,
    in_order,
    kill_of,
    leftovers,
    prepared,
    repeated,
    run_sweep,
    said,
    stage_count,
    start_driver,
    starts,
    stored_addresses,
    until,
    worked_twice,
)

pytestmark = pytest.mark.slow

_SEEDS, _KILLS = 20, 10  # a run costs 30 s, and each kill that ends its driver 15 more


@pytest.fixture
def mark(tmp_path: Path) -> Any:
    """What marks a test's processes; none outlives it."""
    yield str(tmp_path)
    end_all(str(tmp_path), patience=0)


@pytest.mark.parametrize("first", range(0, _SEEDS, _KILLS))
def test_kills_leave_no_trace(first: int, reference: dict[str, Any], tmp_path: Path) -> None:
    kills = in_order(kill_of(seed) for seed in range(first, first + _KILLS))
    run = run_sweep(prepared(tmp_path), kills, stages=stage_count(reference))
    assert complaints(run, reference) == [], run.hits


def test_a_torn_last_line_of_the_study_is_mended_on_open(finished: Path, reference: dict[str, Any], mark: str) -> None:
    journal = finished / "w2s-runs/sweeps/quickstart/study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[: len(whole.splitlines()[0]) // 2])
    driver = start_driver(finished, mark, "resume", "quickstart", log="torn")
    assert driver.wait(timeout=120) == 0, said(finished, "torn")
    assert journal.read_bytes().startswith(whole)
    assert journal.read_bytes().endswith(b"\n")
    assert differences(reference, findings(finished)) == []


def test_a_study_cut_off_anywhere_is_filled_up_again_without_training(
    finished: Path, reference: dict[str, Any], mark: str
) -> None:
    journal = finished / "w2s-runs/sweeps/quickstart/study.journal"
    whole = journal.read_bytes()
    begun = starts(finished / "w2s-runs")
    journal.write_bytes(whole[: int(0.6 * len(whole))])
    driver = start_driver(finished, mark, "resume", "quickstart", log="cut")
    assert driver.wait(timeout=200) == 0, said(finished, "cut")
    assert starts(finished / "w2s-runs") == begun
    assert differences(reference, findings(finished)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_is_asked_to_leave_leaves_in_order_and_says_how_to_carry_on(
    number: signal.Signals, tmp_path: Path, mark: str
) -> None:
    store = prepared(tmp_path) / "w2s-runs"
    driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="asked")
    until(lambda: len(stored_addresses(store)) >= 6)
    driver.send_signal(number)
    assert driver.wait(timeout=ORDERLY_SECONDS) == 130
    assert f"w2s resume quickstart --store {store}" in said(tmp_path, "asked")
    assert "Traceback" not in said(tmp_path, "asked")
    assert end_all(mark) == []


def test_a_second_driver_is_refused_and_may_take_over(reference: dict[str, Any], tmp_path: Path, mark: str) -> None:
    store = prepared(tmp_path) / "w2s-runs"
    first = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="first")
    until(lambda: bool(starts(store)))
    second = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="second")
    assert second.wait(timeout=60) == 1
    assert f"process {first.pid} on " in said(tmp_path, "second")
    assert f"since {time.strftime('%Y-%m-%d')}" in said(tmp_path, "second")
    assert first.is_running()
    third = start_driver(tmp_path, mark, "run", "quickstart.yaml", "--take-over", log="third")
    assert first.wait(timeout=60) == 130
    assert third.wait(timeout=240) == 0, said(tmp_path, "third")
    assert differences(reference, findings(tmp_path)) == []
    assert repeated(store) == leftovers(store) == end_all(mark) == []


def test_two_sweeps_on_one_store_at_once_share_their_stages(
    reference: dict[str, Any], tmp_path: Path, mark: str
) -> None:
    store = prepared(tmp_path) / "w2s-runs"
    prepared(tmp_path, name="other")
    both = [start_driver(tmp_path, mark, "run", f"{name}.yaml", log=name) for name in ("quickstart", "other")]
    assert [_code(one) for one in both] == [0, 0], said(tmp_path, "quickstart") + said(tmp_path, "other")
    found = {name: findings(tmp_path, name) for name in ("quickstart", "other")}
    trials = {key: value for key, value in reference.items() if key.startswith(("trial", "stage"))}
    for name in found:
        assert differences(trials, {key: found[name].get(key) for key in trials}) == []
    assert worked_twice(store, ("quickstart", "other")) == leftovers(store) == end_all(mark) == []
    begun = Counter(line["label"] + line["address"] for name in found for line in starts(store, name))
    twice = [label for label, count in begun.items() if count > 1]
    # Each driver has a broker of its own: what both begin in the same moment is made twice, and the first one counts.
    print(f"{len(twice)} of {len(begun)} stages were started by both: {twice}")


def _code(driver: psutil.Popen) -> int:
    return int(driver.wait(timeout=300))
