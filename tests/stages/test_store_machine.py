"""Whatever is published, killed half-way, damaged, collected and read: what is read is whole, or it is not there."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from making import stage_of

from w2s_ray.stages.artifacts import CURVE, WEIGHTS
from w2s_ray.stages.collect import References, find_garbage, remove, tidy
from w2s_ray.stages.errors import DamagedStageError
from w2s_ray.stages.integrity import forget_checked
from w2s_ray.stages.record import RECORD
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Draft, Store

STAGES = [stage_of(seed) for seed in range(3)]
WHICH = st.integers(0, len(STAGES) - 1)


def contents(stage: Stage) -> dict[str, bytes]:
    """The files that a stage shall have."""
    return {CURVE: stage.address.encode() * 7, WEIGHTS: bytes(range(200)) + stage.address.encode()}


def write(draft: Draft, stage: Stage) -> None:
    for name, content in contents(stage).items():
        (draft.path / name).write_bytes(content)
    draft.summary = {"test_accuracy": 0.75, "of": stage.address}


class StoreMachine(RuleBasedStateMachine):
    """A store and what should be in it: `whole` and `harmed` are disjoint, and what is in neither is not there."""

    def __init__(self) -> None:
        super().__init__()
        forget_checked()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder)
        self.whole: set[int] = set()
        self.harmed: set[int] = set()
        self.without_weights: set[int] = set()

    @rule(which=WHICH)
    def publish(self, which: int) -> None:
        if which not in self.whole:
            self.without_weights.discard(which)
        with self.store.publish(STAGES[which]) as draft:
            write(draft, STAGES[which])
        self.whole.add(which)
        self.harmed.discard(which)

    @rule(which=WHICH, files=st.integers(0, 2), cut=st.booleans())
    def die_while_publishing(self, which: int, files: int, cut: bool) -> None:
        """A process of its own dies in the middle, without a word."""
        child = os.fork()
        if child == 0:
            with self.store.publish(STAGES[which]) as draft:
                for name, content in list(contents(STAGES[which]).items())[:files]:
                    (draft.path / name).write_bytes(content[: len(content) // 2] if cut else content)
                os._exit(1)
        os.waitpid(child, 0)

    @rule(which=WHICH)
    def fail_while_publishing(self, which: int) -> None:
        try:
            with self.store.publish(STAGES[which]) as draft:
                write(draft, STAGES[which])
                raise RuntimeError("diverged")
        except RuntimeError:
            pass

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), name=st.sampled_from([CURVE, WEIGHTS, RECORD]), how=st.sampled_from(["flip", "cut", "gone"]))
    def damage(self, data: st.DataObject, name: str, how: str) -> None:
        which = data.draw(st.sampled_from(sorted(self.whole)), label="which stage")
        path = self.store.place(STAGES[which].address) / name
        if not path.exists():  # weights that gc removed
            return
        content = bytearray(path.read_bytes())
        # A share, since a record holds times and is not of the same length twice.
        at = int(data.draw(st.floats(0, 1, exclude_max=True), label="where") * len(content))
        if how == "gone":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[:at])
        else:
            content[at] ^= 1
            path.write_bytes(content)
        self.whole.discard(which)
        self.harmed.add(which)

    @rule(which=WHICH)
    def read(self, which: int) -> None:
        stage = STAGES[which]
        stored = self.store.read(stage.address)
        if which in self.whole:
            assert stored is not None, "a whole stage was not found"
        elif which not in self.harmed:
            assert stored is None, "a stage was found that nobody finished"
        if stored is None:
            self.harmed.discard(which)  # it was put aside
            return
        assert stored.record.summary == {"test_accuracy": 0.75, "of": stage.address}
        for name in stored.record.files:
            try:
                assert stored.file(name).read_bytes() == contents(stage)[name]
            except DamagedStageError:
                assert which in self.harmed, "a whole stage was called damaged"
                self.harmed.discard(which)
                return
        names = {CURVE} if which in self.without_weights else {CURVE, WEIGHTS}
        assert set(stored.record.files) == names

    @rule(needed=st.sets(WHICH), light=st.sets(WHICH))
    def collect(self, needed: set[int], light: set[int]) -> None:
        """`needed` stages are kept, those in `light` without their weights; both as far as gc can tell."""
        seen = {which for which in range(len(STAGES)) if self.store.has(STAGES[which].address)}
        self.harmed &= seen
        references = References(
            needed=frozenset(STAGES[which].address for which in needed),
            keepers=frozenset(),
            given_up=frozenset(),
            without_weights=frozenset(STAGES[which].address for which in light),
        )
        for garbage in find_garbage(self.store, references):
            remove(self.store, garbage)
        self.whole &= needed
        self.harmed &= needed
        self.without_weights = (self.without_weights | (light & seen)) & needed
        assert not self.drafts()

    @rule()
    def a_driver_begins(self) -> None:
        tidy(self.store)
        forget_checked()
        assert not self.drafts()

    @invariant()
    def nothing_is_found_that_was_never_finished(self) -> None:
        for which, stage in enumerate(STAGES):
            if which not in self.whole | self.harmed:
                assert not self.store.place(stage.address).exists() or self.store.read(stage.address) is None

    def drafts(self) -> list[Path]:
        folder = self.folder / "stages"
        return [path for path in folder.iterdir() if path.name.startswith(".")] if folder.is_dir() else []

    def teardown(self) -> None:
        try:
            for which in range(len(STAGES)):
                self.read(which)
                self.publish(which)
                self.read(which)
        finally:
            shutil.rmtree(self.folder)


def test_what_is_read_from_a_store_is_whole_or_not_there() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
