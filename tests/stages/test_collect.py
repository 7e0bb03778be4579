"""gc removes what no sweep needs and nothing else; and in whatever order things happen, a store tells the truth."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from making import stage_of
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.stages.test_broker import student
from tests.test_cli import w2s
from w2s_ray.machine import system_id
from w2s_ray.methods import Experiment, Parts, stages_of
from w2s_ray.search.collect import collect, read_mentions
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.folder import journal_path, save_spec
from w2s_ray.search.lease import SweepInUseError, lease
from w2s_ray.search.naming import save_names
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.artifacts import PREDICTIONS, WEIGHTS, Predictions
from w2s_ray.stages.collect import References, drop_file, find_garbage, remove
from w2s_ray.stages.errors import DamagedStageError
from w2s_ray.stages.integrity import forget_checked
from w2s_ray.stages.stage import Stage, walk
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import LEASE

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class FakeStudy:
    """A journal as a driver leaves it, and stages as if they had been trained."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.store = sweep, Store(sweep.store)
        save_spec(self.store, sweep)
        self._journal = JournalStorage(JournalFileBackend(str(journal_path(self.store, sweep.name))))

    def publish(self, *stages: Stage, made_by: str = "small") -> None:
        for stage in walk(*stages):
            if not self.store.has(stage.address):
                with self.store.publish(stage, made_by) as draft:
                    predictions = Predictions(np.array(["1"]), np.array(["test"]), np.ones((1, 2), dtype=np.float32))
                    predictions.write(draft.path / PREDICTIONS)
                    (draft.path / WEIGHTS).write_bytes(bytes(1000))

    def trial(self, lr: float, state: str = "complete", generation: str = "1", trained: bool = True) -> Stage:
        """Writes a trial of value `lr`; returns its first student."""
        pairing = self.sweep.pairings[0].name
        roles = stages_of(Parts(self.sweep), Experiment(0, pairing, "naive", {"lr": lr}, default=False))
        if trained:
            self.publish(*(stage for of_role in roles.values() for stage in of_role))
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        name = f"{self.sweep.name}/{pairing}/{generation}"
        study = optuna.create_study(study_name=name, storage=self._journal, direction="maximize", load_if_exists=True)
        trial = study.ask()
        trial.set_user_attr("stages", json.dumps({role: [one.address for one in of] for role, of in roles.items()}))
        if state != "open":
            study.tell(trial, lr if state == "complete" else None, STATES[state])
        return roles["student"][0]

    def confirm(self, number: int, lr: float, state: str) -> Stage:
        """Writes the confirmation of a trial with the value `lr`; returns its first student."""
        pairing = self.sweep.pairings[0].name
        parts = Parts(self.sweep).with_fresh_seeds()
        roles = stages_of(parts, Experiment(number, pairing, "naive", {"lr": lr}, default=False))
        made = Confirmation(
            parts.sweep.seeds, {role: tuple(one.address for one in of) for role, of in roles.items()}, state
        )
        study = optuna.load_study(study_name=f"{self.sweep.name}/{pairing}/1", storage=self._journal)
        study.set_user_attr(*made.attribute(number))
        if state == "complete":
            self.publish(*(stage for of_role in roles.values() for stage in of_role))
        return roles["student"][0]

    def kinds(self, **options: Any) -> dict[str, int]:
        counts: dict[str, int] = {}
        for one in collect(self.store, **options).garbage:
            counts[one.kind] = counts.get(one.kind, 0) + 1
        return counts


@pytest.fixture
def fake(small: Sweep) -> FakeStudy:
    return FakeStudy(small)


def snapshot(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def has_weights(store: Store, stage: Stage) -> bool:
    return (store.place(stage.address) / WEIGHTS).exists()


def test_by_default_all_that_any_study_refers_to_is_kept(fake: FakeStudy) -> None:
    fake.trial(0.001)
    fake.trial(0.002, generation="0")  # of an older spec
    fake.trial(0.003, state="failed")
    fake.trial(0.004, state="open")
    before = snapshot(fake.store.root / "stages")
    assert fake.kinds(yes=True) == {}
    assert snapshot(fake.store.root / "stages") == before


def test_what_no_sweep_refers_to_goes_and_what_its_readers_need_stays(fake: FakeStudy, small: Sweep) -> None:
    kept = fake.trial(0.001)
    orphan = stage_of()
    fake.publish(student(small, lr=0.009), orphan)
    assert fake.kinds() == {"stage": 2}
    assert fake.kinds(yes=True) == {"stage": 2}
    assert fake.kinds() == {}
    assert not fake.store.has(orphan.address)
    assert all(fake.store.has(stage.address) for stage in walk(kept))
    assert list((fake.store.root / "aside").iterdir()) == []


def test_the_features_of_a_sweep_that_has_no_trial_yet_are_kept(fake: FakeStudy, small: Sweep) -> None:
    needed = student(small)
    fake.publish(*needed.inputs.values())
    assert fake.kinds() == {}


def test_what_a_trial_of_an_older_spec_read_is_kept(fake: FakeStudy, small: Sweep) -> None:
    kept = fake.trial(0.001)
    save_spec(fake.store, replace(small, task=replace(small.task, seed=7)))
    assert fake.kinds() == {}
    assert fake.kinds(yes=True) == {}
    assert all(fake.store.has(stage.address) for stage in walk(kept))


def test_confirmations_are_kept_also_of_trials_that_are_best_no_more_and_of_one_that_was_cut_off(small: Sweep) -> None:
    fake = FakeStudy(replace(small, search=replace(small.search, confirm=2)))
    fake.trial(0.001)
    fake.trial(0.002)
    done, cut_off = fake.confirm(0, 0.001, "complete"), fake.confirm(1, 0.002, "running")
    fake.publish(*cut_off.inputs.values())
    checkpoints = fake.store.work(cut_off.address) / "checkpoints"
    checkpoints.mkdir(parents=True)
    assert fake.kinds(yes=True) == {}
    assert has_weights(fake.store, done)
    assert fake.kinds(keep_weights=1, yes=True) == {"weights": 4}  # two seeds of the worse trial and of a confirmation
    assert not has_weights(fake.store, done)
    assert checkpoints.exists()


def test_only_looking_changes_nothing_and_is_allowed_while_a_driver_works(fake: FakeStudy) -> None:
    fake.publish(stage_of())
    with lease(fake.store, "small"):
        before = snapshot(fake.store.root)
        assert fake.kinds() == {"stage": 1}
        assert snapshot(fake.store.root) == before
        with pytest.raises(SweepInUseError, match="'small' is being run by"):
            collect(fake.store, yes=True)
        assert snapshot(fake.store.root) == before


def test_a_pruned_student_loses_weights_and_checkpoints_and_keeps_its_numbers(fake: FakeStudy) -> None:
    fake.trial(0.001)
    pruned = fake.trial(0.002, state="pruned")
    unfinished = fake.trial(0.003, state="pruned", trained=False)
    (fake.store.work(unfinished.address) / "checkpoints").mkdir(parents=True)
    found = collect(fake.store, yes=True)
    assert sorted(one.kind for one in found.garbage) == ["checkpoint", "weights", "weights"]
    assert not fake.store.work(unfinished.address).exists()
    assert not has_weights(fake.store, pruned)
    stored = fake.store.get(pruned.address)
    assert stored.predictions().ids.tolist() == ["1"]
    with pytest.raises(FileNotFoundError, match="`w2s gc` removed it"):
        stored.file(WEIGHTS)
    assert all(has_weights(fake.store, stage) for stage in walk(pruned) if stage != pruned)
    assert fake.kinds() == {}


def test_a_student_that_was_pruned_in_one_trial_and_complete_in_another_keeps_its_weights(fake: FakeStudy) -> None:
    fake.trial(0.002, state="pruned")
    assert has_weights(fake.store, fake.trial(0.002))
    assert fake.kinds() == {}


def test_the_best_students_keep_their_weights_and_so_do_baselines_and_open_trials(fake: FakeStudy) -> None:
    best, worse, still_open = fake.trial(0.003), fake.trial(0.001), fake.trial(0.0005, state="open")
    fake.trial(0.0005, state="failed")  # the same student, which the open trial may yet bring to a good end
    assert fake.kinds(keep_weights=2) == {}
    assert fake.kinds(keep_weights=1, yes=True) == {"weights": 2}  # two seeds
    assert [has_weights(fake.store, one) for one in (best, worse, still_open)] == [True, False, True]
    assert has_weights(fake.store, best.inputs["labels"])
    assert fake.kinds(keep_weights=0, yes=True) == {"weights": 2}
    assert has_weights(fake.store, best.inputs["labels"])


def test_checkpoints_of_an_open_trial_stay_and_those_of_finished_stages_go(fake: FakeStudy) -> None:
    going_on, done = fake.trial(0.001, state="open", trained=False), fake.trial(0.002)
    for stage in (going_on, done):
        (fake.store.work(stage.address) / "checkpoints").mkdir(parents=True)
        (fake.store.work(stage.address) / "checkpoints" / "step-1").write_bytes(bytes(10))
    [found] = collect(fake.store, yes=True).garbage
    assert (found.kind, found.size, found.path.name) == ("checkpoint", 10, done.address)
    assert fake.store.work(going_on.address).exists()


def test_drafts_of_dead_writers_go_and_those_of_living_ones_stay(fake: FakeStudy) -> None:
    stages = fake.store.root / "stages"
    process = 2**22 + 1  # beyond any pid
    dead, alive, elsewhere, old = (
        stages / f".{'a' * 32}-{who}"
        for who in (
            f"{process}@{system_id()}-x1",
            f"{os.getpid()}@{system_id()}-x2",
            "1@far-off-x",
            "x4",
        )
    )
    for path in (dead, alive, elsewhere, old):
        path.mkdir(parents=True)
        (path / "half").write_bytes(bytes(5))
    for path in (alive, alive / "half", old, old / "half"):  # a long step of a stage touches nothing for a day
        os.utime(path, (0, 0))
    assert {one.path: one.size for one in collect(fake.store, yes=True).garbage} == {dead: 5, old: 5}
    assert sorted(path for path in stages.iterdir()) == sorted([alive, elsewhere])


def test_what_was_put_aside_and_the_scratch_of_dead_drivers_go(fake: FakeStudy) -> None:
    stage = fake.trial(0.001)
    (fake.store.place(stage.address) / PREDICTIONS).unlink()
    assert not fake.store.has(stage.address)
    (fake.store.root / "work" / "tune-small").mkdir(parents=True)
    assert fake.kinds(yes=True) == {"aside": 1, "scratch": 1}


def test_a_sweep_whose_spec_cannot_be_read_keeps_all_it_made_and_that_is_said(fake: FakeStudy) -> None:
    fake.trial(0.001)
    fake.publish(stage_of(1), made_by="other")
    fake.publish(stage_of(2))
    (fake.store.sweep_folder("small") / "sweep.yaml").write_text("name: [", encoding="utf-8")
    found = collect(fake.store)
    assert [one.path.name for one in found.garbage] == [stage_of(1).address]
    assert "all that sweep 'small' made is kept" in found.to_text()


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
def test_a_sweep_whose_journal_was_lost_keeps_all_it_made_and_that_is_said(fake: FakeStudy, lose: Any) -> None:
    fake.publish(fake.trial(0.001), stage_of(1))
    fake.publish(stage_of(2), made_by="nobody")
    pairing = fake.sweep.pairings[0].name
    save_names(fake.store.sweep_folder("small"), (f"small/{pairing}/1",), b"")
    assert fake.kinds() == {"stage": 2}
    lose(journal_path(fake.store, "small"))
    found = collect(fake.store, yes=True)
    assert [one.path.name for one in found.garbage] == [stage_of(2).address]
    assert "all that sweep 'small' made is kept: its study is not" in found.to_text()


def test_with_a_study_that_cannot_be_read_nothing_is_removed(fake: FakeStudy) -> None:
    fake.trial(0.001)
    fake.publish(stage_of())
    path = journal_path(fake.store, "small")
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"study\.journal cannot be read, so nothing was removed"):
        collect(fake.store, yes=True)
    assert fake.store.has(stage_of().address)


def test_a_deleted_sweep_no_longer_keeps_its_stages_but_a_shared_one_stays(fake: FakeStudy, small: Sweep) -> None:
    mine = fake.trial(0.001)
    other = FakeStudy(replace(small, name="other"))
    shared, own = other.trial(0.001), other.trial(0.002)
    assert shared == mine
    shutil.rmtree(fake.store.sweep_folder("other"))
    assert fake.kinds(yes=True) == {"stage": 2}
    assert fake.store.has(mine.address)
    assert not fake.store.has(own.address)


def test_a_sweep_that_begins_while_gc_removes_stops_it(fake: FakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.publish(stage_of(1), stage_of(2))

    def and_someone_begins(store: Store, garbage: Any) -> None:
        remove(store, garbage)
        store.sweep_folder("new").mkdir()

    monkeypatch.setattr("w2s_ray.search.collect.remove", and_someone_begins)
    with pytest.raises(SweepInUseError, match="'new' began"):
        collect(fake.store, yes=True)
    assert [fake.store.has(stage_of(seed).address) for seed in (1, 2)].count(True) == 1


def test_a_crash_between_record_and_deletion_of_weights_is_finished_next_time(fake: FakeStudy) -> None:
    pruned = fake.trial(0.002, state="pruned")
    place = fake.store.place(pruned.address)
    weights = (place / WEIGHTS).read_bytes()
    drop_file(place, WEIGHTS)
    (place / WEIGHTS).write_bytes(weights)
    assert fake.store.has(pruned.address)
    fake.kinds(yes=True)
    assert not (place / WEIGHTS).exists()


def test_reading_a_study_writes_nothing(fake: FakeStudy) -> None:
    fake.trial(0.001)
    before = snapshot(fake.store.root)
    assert [mention.value for mention in read_mentions(journal_path(fake.store, "small"))] == [0.001]
    assert snapshot(fake.store.root) == before


def test_the_command_shows_first_and_removes_when_told(fake: FakeStudy, tmp_path: Path) -> None:
    fake.trial(0.001)
    fake.publish(stage_of())
    store = str(fake.store.root)
    shown = w2s("gc", "--store", store, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "no sweep refers to it" in shown.stdout
    assert "Nothing was removed" in shown.stdout
    assert fake.store.has(stage_of().address)
    done = w2s("gc", "--store", store, "--yes", "--json", cwd=tmp_path)
    made = json.loads(done.stdout)
    assert (made["removed"], made["count"], [one["kind"] for one in made["items"]]) == (True, 1, ["stage"])
    assert made["bytes"] > 1000
    assert not fake.store.has(stage_of().address)
    assert "nothing to remove" in w2s("gc", "--store", store, cwd=tmp_path).stdout


def test_the_command_refuses_while_a_driver_works(fake: FakeStudy, tmp_path: Path) -> None:
    with lease(fake.store, "small"):
        done = w2s("gc", "--store", str(fake.store.root), "--yes", cwd=tmp_path)
    assert done.returncode == 1
    assert "is being run by" in done.stderr
    assert "w2s run or resume with --take-over" in done.stderr, "gc has no such option"
    assert "Traceback" not in done.stderr


def fill_up(folder: Path) -> None:
    """Takes all the space that is left, and a hundred names."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with suppress(OSError):
        for number in range(100):
            (folder / f"name-{number}").touch()


@pytest.mark.parametrize(
    ("size", "holder"), [("512k", ""), ("4m,nr_inodes=100", "x" * 5000)], ids=["no space", "no space and no names"]
)
def test_a_full_disk_is_freed_and_what_is_kept_stays_whole(
    disk_of: Callable[[str], Path], small: Sweep, size: str, holder: str
) -> None:
    disk = disk_of(size)
    fake = FakeStudy(replace(small, store=str(disk)))
    kept, pruned, orphan = fake.trial(0.001), fake.trial(0.002, state="pruned"), stage_of()
    fake.publish(orphan)
    (fake.store.sweep_folder("small") / LEASE).write_text(holder, encoding="utf-8")
    fill_up(disk)
    before = shutil.disk_usage(disk).used
    done = w2s("gc", "--store", str(disk), "--yes", cwd=disk.parent)
    assert done.returncode == 0, done.stderr
    assert shutil.disk_usage(disk).used < before
    forget_checked()
    assert not fake.store.has(orphan.address)
    assert [has_weights(fake.store, one) for one in (kept, pruned)] == [True, False]
    assert [len(fake.store.get(one.address).predictions().ids) for one in (kept, pruned)] == [1, 1]
    assert not list((fake.store.root / "stages").glob("*/.stage.json*"))
    assert fake.kinds() == {}


SEEDS = st.integers(0, 2)
FILES = st.sampled_from(["curve.jsonl", "weights.safetensors", "stage.json"])


class StoreMachine(RuleBasedStateMachine):
    """A store and everything that can happen to it, by several processes that forget what they looked at."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.store = Store(self.root)
        self.published: dict[int, tuple[bytes, float]] = {}
        self.count = 0
        self.needed: set[int] = set()

    @rule(seed=SEEDS)
    def publish(self, seed: int) -> None:
        """Real content is a function of the address; here each publishing differs, so that a mixture is seen."""
        self.count += 1
        content, number = b'{"step": %d}\n' % self.count, self.count / 7
        forget_checked()
        was_whole = self.reads(seed)
        with self.store.publish(stage_of(seed), "machine") as draft:
            (draft.path / "curve.jsonl").write_bytes(content)
            (draft.path / WEIGHTS).write_bytes(content * 3)
            draft.summary = {"test_accuracy": number}
        if not was_whole:
            self.published[seed] = content, number
        assert self.reads(seed)

    @rule(seed=SEEDS)
    def fail_to_publish(self, seed: int) -> None:
        with pytest.raises(RuntimeError), self.store.publish(stage_of(seed)) as draft:  # noqa: PT012
            (draft.path / "curve.jsonl").write_bytes(b"half")
            raise RuntimeError

    @rule(seed=SEEDS, name=FILES, at=st.integers(0, 2000), bit=st.integers(0, 7))
    def flip(self, seed: int, name: str, at: int, bit: int) -> None:
        path = self.place(seed) / name
        if path.is_file() and path.stat().st_size:
            content = bytearray(path.read_bytes())
            content[at % len(content)] ^= 1 << bit
            path.write_bytes(content)
            forget_checked()

    @rule(seed=SEEDS, name=FILES, part=st.floats(0, 0.99))
    def truncate(self, seed: int, name: str, part: float) -> None:
        path = self.place(seed) / name
        if path.is_file():
            os.truncate(path, int(path.stat().st_size * part))
            forget_checked()

    @rule(seed=SEEDS, name=FILES)
    def delete(self, seed: int, name: str) -> None:
        (self.place(seed) / name).unlink(missing_ok=True)

    @rule(seed=SEEDS, other=SEEDS)
    def mix_up(self, seed: int, other: int) -> None:
        if self.place(other).is_dir() and not self.place(seed).exists():
            shutil.copytree(self.place(other), self.place(seed))

    @rule(seed=SEEDS)
    def need(self, seed: int) -> None:
        self.needed ^= {seed}

    @rule(seed=SEEDS)
    def read(self, seed: int) -> None:
        self.reads(seed)

    @rule(drop=st.booleans())
    def gc(self, drop: bool) -> None:
        forget_checked()
        whole = {seed for seed in range(3) if self.reads(seed)}
        needed = frozenset(stage_of(seed).address for seed in self.needed)
        references = References(needed=needed, without_weights=needed if drop else frozenset())
        for garbage in find_garbage(self.store, references):
            remove(self.store, garbage)
        assert {seed for seed in range(3) if self.reads(seed)} == whole & self.needed
        assert find_garbage(self.store, references) == []

    @precondition(lambda self: hasattr(self, "root"))
    @invariant()
    def what_is_there_reads_back_as_published(self) -> None:
        for seed in range(3):
            self.reads(seed)

    def reads(self, seed: int) -> bool:
        """Whether the stage is there; if so, it reads exactly as it was published."""
        address = stage_of(seed).address
        assert self.store.has(address) == (self.store.read(address) is not None)
        stored = self.store.read(address)
        if stored is None:
            assert not self.place(seed).exists()
            return False
        content, number = self.published[seed]
        assert stored.record.summary == {"test_accuracy": number}
        try:
            for name in stored.record.files:
                expected = content if name == "curve.jsonl" else content * 3
                assert stored.file(name).read_bytes() == expected
        except DamagedStageError as error:
            found = error.address
        else:
            return True
        assert found == address
        assert not self.store.has(address)
        return False

    def place(self, seed: int) -> Path:
        return self.store.place(stage_of(seed).address)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
