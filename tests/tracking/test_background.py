"""The driver is neither held up nor told off by MLflow."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.search.record import COMPLETE, RUNNING
from w2s_ray.spec import Tracking
from w2s_ray.tracking import BackgroundTracker, Projection

Look = Callable[..., Any]
NOBODY = "http://127.0.0.1:9"  # the discard port: refuses at once


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


class Slow(Projection):
    """Notes what it was given; each update waits until it may go on."""

    def __init__(self, errors: int = 0) -> None:
        self.errors, self.seen, self.may_go, self.began = errors, [], threading.Event(), threading.Event()

    def open(self) -> None:
        pass

    def update(self, record: Any, report: Path | None = None) -> None:
        self.began.set()
        self.may_go.wait(20)
        if self.errors:
            self.errors -= 1
            raise ConnectionError("down for a moment")
        self.seen.append(record)


def tracker_with(fake: Any, projection: Slow, monkeypatch: pytest.MonkeyPatch) -> BackgroundTracker:
    monkeypatch.setattr("w2s_ray.tracking.background.Projection", lambda *_: projection)
    return BackgroundTracker("sqlite:///unused", fake.sweep, fake.store, "mine", pause=0)


def test_the_last_record_is_shown_when_it_is_closed(fake: Any, uri: str, shown: Look) -> None:
    tracker = BackgroundTracker(uri, fake.sweep, fake.store, "mine", pause=0)
    tracker.offer(lambda: fake.record(RUNNING))
    assert tracker.close(fake.record(COMPLETE))
    assert [run.info.status for run in shown(uri).of("trial")] == ["FINISHED"]


def test_a_sweep_that_ends_without_a_trial_is_no_trouble(
    fake: Any, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="w2s_ray.tracking"):
        tracker = BackgroundTracker(uri, fake.sweep, fake.store, "mine", pause=0)
        assert tracker.close(replace(fake.record(COMPLETE), trials=()), tmp_path)
    assert caplog.records == []


def test_an_offer_never_waits_and_the_newest_wins(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    projection = Slow()
    tracker = tracker_with(fake, projection, monkeypatch)
    tracker.offer("first")
    assert projection.began.wait(60)
    for number in range(1000):
        tracker.offer(number)  # if one waited for the first, which is held up, this would never end
    projection.may_go.set()
    assert tracker.close("last")
    assert projection.seen[0] == "first"
    assert projection.seen[-1] == "last"
    assert len(projection.seen) <= 3


def test_a_server_that_is_down_is_one_warning_and_no_error(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="w2s_ray.tracking"):
        tracker = BackgroundTracker(NOBODY, fake.sweep, fake.store, "mine", pause=0)
        for _ in range(3):
            tracker.offer(fake.record(COMPLETE))
        assert not tracker.close(fake.record(COMPLETE), timeout=30)
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "`w2s track small` projects it later" in warning.getMessage()


def test_a_file_that_is_no_database_is_a_warning_at_once(
    fake: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mlflow.db").write_text("not a database" * 100, encoding="utf-8")
    tracker = BackgroundTracker(f"sqlite:///{tmp_path}/mlflow.db", fake.sweep, fake.store, "mine", pause=0)
    assert not tracker.close(fake.record(COMPLETE))
    assert "file is not a database" in caplog.text
    assert "gave no answer" not in caplog.text  # MLflow itself would try for minutes


def test_after_a_failure_the_next_offer_is_tried(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    projection = Slow(errors=1)
    projection.may_go.set()
    tracker = tracker_with(fake, projection, monkeypatch)
    tracker.offer("lost")
    assert projection.began.wait(60)
    assert tracker.close("last")
    assert projection.seen[-1] == "last"


def test_a_server_that_hangs_holds_the_driver_up_no_longer_than_it_said(
    fake: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    projection = Slow()
    tracker = tracker_with(fake, projection, monkeypatch)
    assert not tracker.close("last", timeout=0.2)  # and returns, though the server never does
    assert "no answer within 0 s" in caplog.text
    assert "goes on" not in caplog.text, "it may have been interrupted"
    projection.may_go.set()


def test_a_record_that_cannot_be_read_is_a_warning_too(fake: Any, uri: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Any:
        raise OSError("the store is away")

    tracker = BackgroundTracker(uri, fake.sweep, fake.store, "mine", pause=0)
    assert not tracker.close(fail)
    assert "the store is away" in caplog.text


def test_tracking_that_is_switched_off_does_nothing(fake: Any) -> None:
    sweep = fake.sweep.model_copy(update={"tracking": Tracking(enabled=False)})
    threads = threading.active_count()
    tracker = BackgroundTracker(NOBODY, sweep, fake.store, "mine")
    tracker.offer(fake.record(COMPLETE))
    tracker.close(fake.record(COMPLETE))
    tracker.stop()
    assert threading.active_count() == threads


def test_stopping_twice_and_after_closing_is_fine(fake: Any, uri: str) -> None:
    tracker = BackgroundTracker(uri, fake.sweep, fake.store, "mine", pause=0)
    assert tracker.close(fake.record(COMPLETE))
    tracker.stop()
    tracker.stop()
