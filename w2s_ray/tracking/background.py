"""The driver's projection: a thread that imports mlflow, opens it, and shows the newest record every few seconds.

The driver never waits for it and never hears of its errors: MLflow shows the sweep, it is no part of it. What could not
be written is written with the next record, or by `w2s track`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from w2s_ray.search.record import SweepRecord
from w2s_ray.secrets import without_secrets
from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store
from w2s_ray.tracking.location import artifact_root
from w2s_ray.tracking.projection import Projection
from w2s_ray.tracking.troubles import explained

_log = logging.getLogger("w2s_ray.tracking")

Offer = SweepRecord | Callable[[], SweepRecord]
"""A record, or what makes one; it is then made by the thread."""


class BackgroundTracker:
    """Projects a sweep to MLflow beside its driver. Does nothing if the sweep's tracking is switched off.

    Args:
        uri: of MLflow, as `tracking_uri` gives it.
        history: of the sweep.
        pause: seconds between two updates.
    """

    def __init__(self, uri: str, sweep: Sweep, store: Store, history: str, *, pause: float = 3.0) -> None:
        self._uri, self._sweep, self._pause = uri, sweep.name, pause
        self._projection = Projection(uri, sweep.name, history, artifact_root(uri, store))
        self._changed = threading.Condition()
        self._offer: Offer | None = None
        self._report: Path | None = None
        self._closing = not sweep.tracking.enabled
        self._warned = self._projected = False
        # A daemon: a server that hangs must not keep a finished sweep's process alive; what is cut off is done later.
        self._thread = threading.Thread(target=self._work, name="w2s-tracking", daemon=True)
        if not self._closing:
            self._thread.start()

    def offer(self, record: Offer) -> None:
        """Gives the newest record; one that was not yet projected is forgotten. Returns at once."""
        with self._changed:
            self._offer = record
            self._changed.notify()

    def close(self, record: Offer, report: Path | None = None, timeout: float = 60.0) -> bool:
        """Projects the last record, and the report in a folder; returns whether MLflow now shows them.

        Waits `timeout` seconds at most and raises nothing.
        """
        with self._changed:
            self._offer, self._report, self._projected = record, report, False
        self.stop(timeout)
        if self._thread.is_alive():
            self._warn(f"MLflow at {without_secrets(self._uri)} gave no answer within {timeout:.0f} s")
        return self._projected

    def stop(self, timeout: float = 5.0) -> None:
        """Ends the thread once it has projected what was offered, or leaves it alone after `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        self._guarded(self._projection.open)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._offer is not None or self._closing)
                offered, self._offer = self._offer, None
                is_last = self._closing
            if offered is not None:
                self._projected = self._guarded(partial(self._project, offered))
            if is_last:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closing, timeout=self._pause)

    def _project(self, offered: Offer) -> None:
        start = time.monotonic()
        record = offered() if callable(offered) else offered
        self._projection.update(record, self._report)
        if self._report is not None and record.trials:
            self._projection.log_artifacts(record, self._report)
        _log.debug("projected to MLflow in %.1f s", time.monotonic() - start)

    def _guarded(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:
            _log.debug("projection to MLflow failed", exc_info=True)
            self._warn(explained(error, self._uri))
            return False
        return True

    def _warn(self, trouble: str) -> None:
        """Warns once: what is missing now is missing until somebody acts, and a sweep's terminal has better to say."""
        if not self._warned:
            self._warned = True
            _log.warning(
                "%s. The sweep loses nothing: it tries again while it runs, and `w2s track %s` projects it later.",
                trouble,
                self._sweep,
            )
