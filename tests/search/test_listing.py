"""What `w2s ls` shows of a store."""

from pathlib import Path

from w2s_ray.search.folder import save_spec
from w2s_ray.search.listing import list_sweeps, to_json
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.store import Store


def test_a_store_that_is_not_there_has_no_sweeps(tmp_path: Path) -> None:
    assert list_sweeps(Store(tmp_path / "nowhere")) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_sweep_that_cannot_be_read_keeps_its_line(small: Sweep) -> None:
    store = Store(small.store)
    save_spec(store, small)
    save_spec(store, replace(small, name="broken"))
    (store.sweep_folder("broken") / "sweep.yaml").write_text("name: [", encoding="utf-8")
    rows = {row["sweep"]: row for row in to_json(list_sweeps(store))}
    assert rows["small"]["state"] == "interrupted"
    assert (rows["small"]["ended"], rows["small"]["budget"], rows["small"]["best"]) == (0, 4, None)
    assert rows["broken"]["state"] == "unreadable"
    assert "not valid YAML" in rows["broken"]["problem"]
