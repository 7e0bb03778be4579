"""A sweep is found from any directory, and nothing is guessed where several have its name."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import w2s_ray
from w2s_ray.search.folder import save_spec
from w2s_ray.search.known_stores import remember, stores_with
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.store import Store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(root: Path, sweep: Sweep) -> Store:
    store = Store(root)
    save_spec(store, sweep)
    remember(store)
    return store


def roots(stores: list[Store]) -> list[str]:
    return [store.root.name for store in stores]


def test_stores_that_hold_the_sweep_are_found_the_last_used_first(sweep: Sweep, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        made(tmp_path / name, sweep)
    made(tmp_path / "d", replace(sweep, name="another"))
    remember(Store(tmp_path / "a"))
    assert roots(stores_with("small", but=Store(tmp_path / "b"))) == ["a", "c"]


def test_a_store_that_went_away_is_forgotten(sweep: Sweep, tmp_path: Path) -> None:
    made(tmp_path / "a", sweep).root.rename(tmp_path / "moved")
    made(tmp_path / "b", sweep)
    assert roots(stores_with("small", but=Store(tmp_path))) == ["b"]


def test_python_finds_a_sweep_from_any_directory_as_the_commands_do(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = made(tmp_path / "a", sweep)
    assert w2s_ray.load("small").record.store.root == one.root
    made(tmp_path / "b", sweep)
    with pytest.raises(ValueError, match=r"in several other stores; add store=.*b or store=.*a"):
        w2s_ray.load("small")
    here = made(tmp_path / "w2s-runs", sweep)
    assert w2s_ray.load("small").record.store.root == here.root


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b"\xff"])
def test_a_spoiled_list_is_no_list(content: bytes, cache: Path, sweep: Sweep, tmp_path: Path) -> None:
    cache.mkdir()
    (cache / "stores.json").write_bytes(content)
    assert stores_with("small", but=Store(tmp_path)) == []
    made(tmp_path / "a", sweep)
    assert roots(stores_with("small", but=Store(tmp_path))) == ["a"]


@pytest.mark.parametrize("closed", ["full", "ro"])
def test_a_cache_whose_disk_is_full_or_read_only_ends_no_sweep(
    sweep: Sweep, tmp_path: Path, disk_of: Callable[..., Path], closed: str
) -> None:
    disk, store = disk_of("64k,nr_inodes=2", "cache"), Store(tmp_path / "a")
    (disk / "filler").touch()
    if closed == "ro":
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    remember(store)
    assert stores_with("small", but=Store(tmp_path / "b")) == []
