"""What a store in a bucket is held to besides: a server's bad days, other machines, and locks that expire."""

import threading
import time
from pathlib import Path

import buckets
import pytest
import torch
from making import stage_of

from tests.chaos.proxy import dropping
from tests.stages.test_broker import wait_for
from w2s_ray.search.lease import SweepInUseError, holder, lease
from w2s_ray.stages import locks, object_store, objects
from w2s_ray.stages.carried import CarriedCheckpoints, checkpoints_of
from w2s_ray.stages.claim import claim, drop_unclaimed
from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError
from w2s_ray.stages.integrity import forget_checked
from w2s_ray.stages.locks import ObjectLock, Owner
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.record import RECORD
from w2s_ray.stages.usage import USAGE
from w2s_ray.training.checkpoints import Snapshot

ADDRESS = stage_of().address


class Machines:
    """One bucket, seen from several machines, each with a copy of its own."""

    def __init__(self, folder: Path, uri: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.uri, self.patch = folder, uri, patch

    def store(self, name: str) -> ObjectStore:
        self.patch.setenv("W2S_CACHE", str(self.folder / name))
        store = open_store(self.uri)
        assert isinstance(store, ObjectStore)
        return store


@pytest.fixture
def machines(tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch) -> Machines:
    buckets.use(monkeypatch, s3)
    made = Machines(tmp_path, f"s3://{buckets.make_bucket(s3)}/runs", monkeypatch)
    made.store("a").make()
    return made


def publish(store: ObjectStore, made_by: str = "sweep") -> None:
    with store.publish(stage_of(), made_by) as draft:
        (draft.path / "curve.jsonl").write_text('{"step": 1}\n', encoding="utf-8")


def snapshot(step: int) -> Snapshot:
    return Snapshot(step, {"w": torch.full((3,), float(step))}, {}, [{"step": step}], (0.5, 1))


def test_another_machine_reads_what_one_has_made(machines: Machines) -> None:
    publish(machines.store("a"))
    b = machines.store("b")
    assert b.get(ADDRESS).curve() == [{"step": 1}]
    assert sorted(path.name for path in b.place(ADDRESS).iterdir()) == ["curve.jsonl", RECORD]


def test_a_file_comes_when_it_is_first_read_and_a_spoilt_copy_comes_again(machines: Machines) -> None:
    publish(machines.store("a"))
    b = machines.store("b")
    assert b.has(ADDRESS)
    assert not (b.place(ADDRESS) / "curve.jsonl").exists()
    b.get(ADDRESS).curve()
    (b.place(ADDRESS) / "curve.jsonl").write_bytes(b"spoilt")
    forget_checked()
    assert b.get(ADDRESS).curve() == [{"step": 1}]


def test_files_without_their_marker_are_no_stage(machines: Machines) -> None:
    a = machines.store("a")
    a.objects.put(f"stages/{ADDRESS}/half/curve.jsonl", b"{}\n")
    assert not a.has(ADDRESS)
    publish(a)
    assert a.get(ADDRESS).curve() == [{"step": 1}]


def test_a_marker_that_says_nothing_is_put_aside(machines: Machines) -> None:
    a = machines.store("a")
    a.objects.put(f"stages/{ADDRESS}/{RECORD}", b"{}")
    assert not a.has(ADDRESS)
    assert [key for key in a.objects.listing("aside/") if ADDRESS in key] != []
    publish(a)
    assert a.has(ADDRESS)


def test_a_stage_that_went_elsewhere_is_looked_for_anew_once_somebody_missed_it(machines: Machines) -> None:
    a = machines.store("a")
    publish(a)
    a.objects.delete(*a.objects.listing("stages/"))
    assert a.has(ADDRESS)  # the copy still says so
    b = machines.store("b")
    with pytest.raises(MissingStageError) as missing:
        b.get(ADDRESS)
    a.forget(missing.value.address)
    assert not a.has(ADDRESS)


def test_a_copy_of_a_store_that_was_emptied_and_begun_anew_is_dropped(machines: Machines) -> None:
    a = machines.store("a")
    publish(a)
    a.objects.delete(*a.objects.listing(""))
    a.make()
    assert not a.has(ADDRESS)


def test_looks_are_answered_by_the_copy_and_asked_all_at_once(machines: Machines, s3: int) -> None:
    a = machines.store("a")
    publish(a)
    with buckets.moody(s3) as front:
        buckets.use(machines.patch, front.port)
        for _ in range(100):
            assert a.has(ADDRESS)
        assert front.asked == []
        found = a.read_all([ADDRESS, *(stage_of(seed).address for seed in range(1, 40))])
    assert sum(one is not None for one in found.values()) == 1
    assert len(front.asked) == 39
    assert all(method == "GET" and "list-type" not in path for method, path in front.asked)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_refuses_for_a_while_is_asked_again(machines: Machines, s3: int, status: int) -> None:
    a = machines.store("a")
    with buckets.moody(s3) as front:
        front.status = status
        buckets.use(machines.patch, front.port)
        for _ in range(3):
            front.refusals = 2
            assert not a.has(ADDRESS)
        front.refusals = 3
        publish(a)
        assert front.refused == 9
    buckets.use(machines.patch, s3)
    assert machines.store("b").get(ADDRESS).curve() == [{"step": 1}]


def test_a_connection_that_drops_now_and_then_costs_nothing_but_time(machines: Machines, s3: int) -> None:
    with dropping(s3, mean=30_000) as proxy:
        buckets.use(machines.patch, proxy.port)
        a = machines.store("a")
        content = bytes(range(256)) * 20
        for number in range(40):
            tag = a.objects.create(f"many/{number}", content)
            assert tag is not None  # its own first try is not taken for another's
            assert a.objects.get(f"many/{number}") == content
        assert proxy.dropped > 0


def test_a_server_that_is_gone_for_longer_is_an_error_that_names_the_store(
    machines: Machines, s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = machines.store("a")
    monkeypatch.setattr(objects, "RETRY_SECONDS", 1.0)
    with buckets.moody(s3) as front:
        buckets.use(machines.patch, front.port)
    for do in (lambda: a.has(ADDRESS), lambda: publish(a), lambda: a.newest_checkpoint(ADDRESS)):
        with pytest.raises(StoreUnavailableError, match=f"{machines.uri} does not answer.*AWS_ENDPOINT_URL"):
            do()


def test_credentials_that_are_refused_are_said_at_once(machines: Machines, s3: int) -> None:
    a = machines.store("a")
    with buckets.moody(s3) as front:
        front.status, front.refusals = 403, 1000
        buckets.use(machines.patch, front.port)
        with pytest.raises(StoreUnavailableError, match="not open with these credentials"):
            a.has(ADDRESS)
        assert front.refused == 1


def test_a_training_goes_on_from_its_checkpoint_on_another_machine(machines: Machines) -> None:
    a = machines.store("a")
    here = checkpoints_of(a, ADDRESS, 0)
    assert isinstance(here, CarriedCheckpoints)
    assert here.resume() is None
    a.work(ADDRESS).mkdir(parents=True)
    (a.work(ADDRESS) / USAGE).write_text('{"time": 5.0}\n', encoding="utf-8")
    here.save(snapshot(3))
    here.save(snapshot(7))
    b = machines.store("b")
    assert b.usage(ADDRESS) == [{"time": 5.0}]
    there = checkpoints_of(b, ADDRESS, 0).resume()
    assert there is not None
    assert (there.step, there.curve) == (7, [{"step": 7}])
    assert torch.equal(there.weights["w"], torch.full((3,), 7.0))
    b_again = checkpoints_of(b, ADDRESS, 0)
    b_again.save(snapshot(9))
    back = checkpoints_of(a, ADDRESS, 0).resume()
    assert back is not None
    assert back.step == 9
    assert [key for key in a.objects.listing(f"work/{ADDRESS}/") if "checkpoint" in key] == [
        f"work/{ADDRESS}/{object_store.CHECKPOINT}"
    ]
    a.drop_work(ADDRESS)
    assert checkpoints_of(b, ADDRESS, 0).resume() is None


def steps_of_a_group(store: ObjectStore) -> list[int | None]:
    """Returns where two workers of one training on one machine go on."""
    found = [checkpoints_of(store, ADDRESS, 0, rank).resume() for rank in range(2)]
    return [one and one.step for one in found]


def test_all_workers_of_a_group_go_on_from_what_the_bucket_has_and_leave_the_work_of_the_first_alone(
    machines: Machines, s3: int
) -> None:
    a = machines.store("a")
    a.work(ADDRESS).mkdir(parents=True)
    assert steps_of_a_group(a) == [None, None]
    (a.work(ADDRESS) / USAGE).write_text('{"time": 5.0}\n', encoding="utf-8")
    checkpoints_of(a, ADDRESS, 0).save(snapshot(3))
    with buckets.moody(s3) as front:
        buckets.use(machines.patch, front.port)
        front.status, front.refusals = 403, 1000
        with pytest.raises(StoreUnavailableError):
            checkpoints_of(machines.store("a"), ADDRESS, 0).save(snapshot(7))  # written here, and not sent
    buckets.use(machines.patch, s3)
    for machine in ("a", "b"):
        assert steps_of_a_group(machines.store(machine)) == [3, 3]
    assert sorted(path.name for path in a.work(ADDRESS).iterdir()) == ["checkpoints", USAGE]
    assert a.usage(ADDRESS) == [{"time": 5.0}]


def test_a_checkpoint_that_this_machine_spoilt_comes_again_from_the_bucket(machines: Machines) -> None:
    a = machines.store("a")
    path = checkpoints_of(a, ADDRESS, 0).save(snapshot(3))
    path.write_bytes(b"spoilt")
    with pytest.warns(RuntimeWarning, match="damaged"):
        found = checkpoints_of(a, ADDRESS, 0).resume()
    assert found is not None
    assert found.step == 3


def test_a_damaged_checkpoint_is_passed_over(machines: Machines) -> None:
    a = machines.store("a")
    a.objects.put(f"work/{ADDRESS}/{object_store.CHECKPOINT}", b"no checkpoint")
    assert checkpoints_of(a, ADDRESS, 0).resume() is None


def test_who_gives_a_stage_up_leaves_the_checkpoint_of_another_machine_that_makes_it(machines: Machines) -> None:
    a = machines.store("a")
    with claim(a, ADDRESS):
        checkpoints_of(a, ADDRESS, 0).save(snapshot(3))
        b = machines.store("b")
        b.make()
        drop_unclaimed(b, ADDRESS)
        found = checkpoints_of(a, ADDRESS, 0).resume()
        assert found is not None
        assert found.step == 3
    drop_unclaimed(b, ADDRESS)
    assert [key for key in a.objects.listing(f"work/{ADDRESS}/") if "checkpoint" in key or "claim" in key] == []


def lock_of_another_machine(store: ObjectStore, key: str) -> ObjectLock:
    lock = ObjectLock(store.objects, key)
    lock._me = Owner(host="elsewhere", system="another")
    return lock


def test_a_lock_passes_on_when_its_holder_gives_it_back_or_is_not_heard_of(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = machines.store("a")
    theirs, mine = lock_of_another_machine(a, "lock"), ObjectLock(a.objects, "lock")
    assert theirs.take()
    with theirs.held():
        assert not mine.take()
        assert (mine.owner() or Owner()).host == "elsewhere"
    assert mine.take()
    with mine.held():
        assert not theirs.take()
    assert theirs.take()
    assert not mine.take()
    monkeypatch.setattr(locks, "EXPIRY", -1.0)  # as if it had last been renewed long ago
    assert mine.take()


def test_who_has_lost_its_lock_learns_of_it_and_takes_nothing_back(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.1)
    a, lost = machines.store("a"), threading.Event()
    theirs, mine = lock_of_another_machine(a, "lock"), ObjectLock(a.objects, "lock")
    assert mine.take()
    with mine.held(on_loss=lost.set):
        time.sleep(0.5)
        assert not lost.is_set()
        a.objects.delete("lock")
        assert theirs.take()
        assert lost.wait(60)
    assert (ObjectLock(a.objects, "lock").owner() or Owner()).host == "elsewhere"


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_bytes_that_name_nobody_hold_no_lock(machines: Machines, content: bytes) -> None:
    a = machines.store("a")
    a.objects.put("lock", content)
    lock = ObjectLock(a.objects, "lock")
    assert lock.owner() is None
    assert lock.take()


def test_a_lock_of_a_process_that_died_on_this_machine_is_free_at_once(machines: Machines) -> None:
    a = machines.store("a")
    dead = ObjectLock(a.objects, "lock")
    dead._me = Owner(pid=2**22 + 1)  # above any process number
    assert dead.take()
    assert ObjectLock(a.objects, "lock").take()


def test_a_lock_of_another_container_with_this_host_name_is_not_judged_by_process_numbers_here(
    machines: Machines,
) -> None:
    a = machines.store("a")
    theirs = ObjectLock(a.objects, "lock")
    theirs._me = Owner(pid=2**22 + 1, system="another")
    assert theirs.take()
    assert not ObjectLock(a.objects, "lock").take()


def test_who_cannot_renew_its_lock_is_not_sure_of_it_until_it_can_and_never_again_once_it_is_lost(
    machines: Machines, s3: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.2)
    monkeypatch.setattr(locks, "EXPIRY", 2.0)
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0.5)
    with buckets.moody(s3) as front:
        buckets.use(machines.patch, front.port)
        mine, lost = ObjectLock(machines.store("a").objects, "lock"), threading.Event()
        assert mine.take()
        with mine.held(on_loss=lost.set):
            mine.be_sure()
            front.refusals = 10**9
            wait_for(lambda: not is_sure(mine))
            front.refusals = 0
            wait_for(lambda: is_sure(mine))
            machines.store("a").objects.delete("lock")
            assert lost.wait(60)
            assert not is_sure(mine)


def is_sure(lock: ObjectLock) -> bool:
    try:
        lock.be_sure()
    except StoreUnavailableError:
        return False
    return True


def test_a_sweep_is_held_by_one_driver_on_all_machines_and_it_is_said_which(machines: Machines) -> None:
    a = machines.store("a")
    assert holder(a, "one") is None
    with lease(a, "one"):
        b = machines.store("b")
        held_by = holder(b, "one")
        assert held_by is not None
        assert held_by.since
        with (
            pytest.raises(SweepInUseError, match=f"is being run by process .* on {held_by.host} since"),
            lease(b, "one"),
        ):
            pass
    assert holder(b, "one") is None
    theirs = lock_of_another_machine(b, "sweeps/one/driver.lock")
    assert theirs.take()
    with pytest.raises(SweepInUseError, match="on its own machine only"), lease(b, "one", take_over=True):
        pass


def test_a_sweeps_folder_goes_to_other_machines_and_lines_are_never_cut(machines: Machines) -> None:
    a = machines.store("a")
    folder = a.sweep_folder("one")
    (folder / "report").mkdir(parents=True)
    (folder / "sweep.yaml").write_text("spec", encoding="utf-8")
    (folder / "report" / "report.html").write_text("report", encoding="utf-8")
    (folder / "spent.jsonl").write_text('{"a": 1}\n{"b":', encoding="utf-8")
    a.send_sweep("one")
    b = machines.store("b")
    assert b.sweeps() == ["one"]
    b.fetch_sweep("one")
    assert (b.sweep_folder("one") / "sweep.yaml").read_text(encoding="utf-8") == "spec"
    assert (b.sweep_folder("one") / "spent.jsonl").read_text(encoding="utf-8") == '{"a": 1}\n'
    assert b.objects.get("sweeps/one/report/report.html") == b"report"
    a.objects.delete("sweeps/one/sweep.yaml")
    b.fetch_sweep("one")
    assert not (b.sweep_folder("one") / "sweep.yaml").exists()


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "http://host/x", "s3://key:secret@bucket/x", "s3://bucket/../x"])
def test_a_uri_that_names_no_bucket_is_refused_without_its_secret(uri: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET/PREFIX") as refused:
        open_store(uri)
    assert "secret" not in str(refused.value)
