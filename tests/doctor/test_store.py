"""The store, looked at from one machine and from those that do not see what the driver sees."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import buckets
import pytest

from w2s_ray.doctor.finding import Finding
from w2s_ray.doctor.need import Need
from w2s_ray.doctor.store import probed, seen_from_the_driver, store


def look(root: Path) -> list[Finding]:
    """What the driver's machine finds in a store."""
    with probed(str(root)) as (probe, troubles):
        return [*troubles, *store(Need(probe=probe)), *(seen_from_the_driver(probe, "driver") if probe else [])]


def test_a_store_that_is_well_is_left_as_it_was(tmp_path: Path) -> None:
    assert [one.state for one in look(tmp_path)] == ["ok"]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_does_not_exist_yet_is_not_made(tmp_path: Path) -> None:
    assert [one.state for one in look(tmp_path / "runs" / "mine")] == ["ok"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_store_is_a_problem(disk_of: Callable[..., Path]) -> None:
    disk = disk_of("64k")
    (disk / "filler").write_bytes(b"x" * 60_000)
    (found,) = look(disk)
    assert found.state == "problem"
    assert f"{disk} is full" in found.says
    assert "w2s gc" in found.mend
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_read_only_store_is_a_problem(disk_of: Callable[..., Path]) -> None:
    disk = disk_of("1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    (found,) = look(disk)
    assert found.state == "problem"
    assert f"{disk} is read-only" in found.says
    assert "--store" in found.mend


def test_a_machine_that_has_another_folder_in_the_place_of_the_store_is_told(
    tmp_path: Path, disk_of: Callable[..., Path]
) -> None:
    with probed(str(tmp_path)) as (probe, _):
        assert probe is not None
        other = replace(probe, folder=str(disk_of("1m") / Path(probe.folder).name))
        (found,) = store(Need(probe=other))
    assert found.state == "problem"
    assert "is not the driver's: another folder is in its place" in found.says


def test_what_a_machine_writes_and_the_driver_does_not_see_is_a_problem(tmp_path: Path) -> None:
    with probed(str(tmp_path)) as (probe, _):
        assert probe is not None
        (found,) = seen_from_the_driver(probe, "elsewhere")
    assert "does not arrive at the driver" in found.says


def test_locks_that_do_not_reach_the_other_machine_are_a_warning(tmp_path: Path) -> None:
    with probed(str(tmp_path)) as (probe, _):
        assert probe is not None
        (Path(probe.folder) / "lock").unlink()  # a new file has no lock, as a mount with `nolock` shows it
        (Path(probe.folder) / "lock").touch()
        (found,) = store(Need(probe=probe))
    assert found.state == "warning"
    assert "two drivers could work on one sweep" in found.says


def test_an_error_in_the_block_is_nobody_elses(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), probed(str(tmp_path)):
        raise OSError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_is_not_there_is_mended_at_its_name_and_keys_not_at_a_disk(
    s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.use(monkeypatch, s3)
    with probed(f"s3://{buckets.make_bucket(s3)}/runs") as (probe, troubles):
        assert [one.state for one in [*troubles, *store(Need(probe=probe))]] == ["ok"]
    with probed("s3://no-such-bucket/runs") as (probe, (found,)):
        assert probe is None
    assert (found.check, found.state) == ("store", "problem")
    assert "no-such-bucket" in found.says
    assert "has no such bucket" in found.says
    assert found.mend.startswith("check the bucket's name, the network and AWS_ACCESS_KEY_ID")
    assert "resume" not in found.says + found.mend
