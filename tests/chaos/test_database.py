"""A sweep whose study is in Postgres, its driver killed and its server gone, cannot be told from one on a journal."""

from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from databases import postgres
from harness import (
    RUN_SECONDS,
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

from w2s_ray.search.folder import study_place
from w2s_ray.search.place import ENVIRONMENT, Database
from w2s_ray.stages.store import Store

pytestmark = pytest.mark.slow

_PASSWORD = "canary-4711"


def test_a_sweep_on_postgres_ends_as_one_on_a_journal(
    reference: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, mark = prepared(tmp_path) / "w2s-runs", str(tmp_path)
    with postgres() as server:
        monkeypatch.setenv(ENVIRONMENT, server.new_database().replace("postgres@", f"postgres:{_PASSWORD}@"))
        try:
            killed = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="killed")
            until(lambda: len(stored_addresses(store)) >= 8, RUN_SECONDS)
            killed.kill()
            killed.wait()
            server.stop()
            refused = start_driver(tmp_path, mark, "resume", "quickstart", log="refused")
            assert refused.wait(timeout=RUN_SECONDS) == 1
            assert "cannot be used (opening the study" in said(tmp_path, "refused")
            server.start()
            last = start_driver(tmp_path, mark, "resume", "quickstart", log="last")
            until(lambda: len(stored_addresses(store)) >= 16, RUN_SECONDS)
            server.stop()
            Timer(3.0, server.start).start()
            assert last.wait(timeout=RUN_SECONDS) == 0, said(tmp_path, "last")
        finally:
            left = end_all(mark)
        assert isinstance(study_place(Store(store), "quickstart"), Database)
        assert differences(reference, findings(tmp_path)) == []
    assert repeated(store) == leftovers(store) == left == []
    assert "Traceback" not in "".join(said(tmp_path, log) for log in ("refused", "last"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if _PASSWORD.encode() in path.read_bytes()] == []
