"""`w2s gc`: asks every study of a store, old generations too, what it refers to, and lets the rest go.

A sweep whose spec cannot be laid out now, or whose study does not say which stages a trial had, keeps all it made.
While something is removed, gc holds every sweep of the store, so that no driver finds a stage and loses it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from w2s_ray.assets import AssetError
from w2s_ray.files import from_json
from w2s_ray.methods import BASELINES, Parts, plan_stages
from w2s_ray.search.confirmation import confirmations_in
from w2s_ray.search.folder import load_spec, study_place
from w2s_ray.search.lease import SweepInUseError, lease
from w2s_ray.search.naming import load_names
from w2s_ray.search.place import Database, Place, folder_of
from w2s_ray.search.reading import FINISHED
from w2s_ray.search.record import COMPLETE, FAILED, RUNNING
from w2s_ray.search.storage import open_to_read, reading_errors
from w2s_ray.stages.collect import Garbage, References, find_garbage, remove
from w2s_ray.stages.collect_bucket import find_garbage_in_bucket, remove_from_bucket
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.stage import walk
from w2s_ray.stages.store import Store
from w2s_ray.units import in_bytes

_CONFIRMATION_STATES = {
    COMPLETE: TrialState.COMPLETE,
    RUNNING: TrialState.RUNNING,
    FAILED: TrialState.RUNNING,  # the next run tries it again
}


@dataclass(frozen=True)
class Mention:
    """A trial of a study, or its confirmation, by the stages it refers to; `study` is the name of its Optuna study."""

    study: str
    state: TrialState
    value: float | None
    stages: Mapping[str, tuple[str, ...]]

    @property
    def students(self) -> tuple[str, ...]:
        """The stages that are this trial's own: students, and the chain before them."""
        return tuple(a for role, of_role in self.stages.items() if role not in BASELINES for a in of_role)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The weak supervisors and ceilings."""
        return tuple(address for role in BASELINES for address in self.stages.get(role, ()))


@dataclass(frozen=True)
class Collection:
    """What gc found, and whether it removed it."""

    store: Store
    garbage: tuple[Garbage, ...]
    removed: bool
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all that was found."""
        return sum(one.size for one in self.garbage)

    def to_json(self) -> dict[str, object]:
        """Returns the stable form of `w2s gc --json`."""
        return {
            "store": self.store.uri,
            "removed": self.removed,
            "count": len(self.garbage),
            "bytes": self.size,
            "items": [
                {"kind": one.kind, "path": str(one.path), "bytes": one.size, "why": one.why} for one in self.garbage
            ],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Returns the same for people, counted by kind and reason."""
        if not self.garbage:
            return "\n".join([*self.notes, f"nothing to remove in {self.store.uri}"])
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for one in self.garbage:
            groups[one.kind, one.why].append(one.size)
        rows = [f"{kind:<11}{len(sizes):>6}  {in_bytes(sum(sizes)):>9}  {why}" for (kind, why), sizes in groups.items()]
        total = f"{'removed' if self.removed else 'would go':<11}{len(self.garbage):>6}  {in_bytes(self.size):>9}"
        last = [] if self.removed else ["Nothing was removed; the same with --yes removes it."]
        return "\n".join([*self.notes, *rows, total, *last])


def collect(store: Store, *, keep_weights: int | None = None, yes: bool = False) -> Collection:
    """Finds what no sweep of the store needs, and with `yes` removes it.

    Args:
        store: where to look.
        keep_weights: how many of the best students of each pairing keep their weights; None: all but pruned ones.
        yes: removes; otherwise nothing is changed.

    Raises:
        SweepInUseError: something is to be removed and a driver works in the store.
        ValueError: a study cannot be read, so that it cannot be told what it needs.
    """
    with ExitStack() as held:
        sweeps = _sweeps(store)
        if yes:
            for name in sweeps:
                held.enter_context(lease(store, name))
        references, notes = refer(store, keep_weights)
        garbage = _found(store, references)
        for one in garbage if yes else ():
            _must_be_alone(store, sweeps)
            _remove(store, one)
    return Collection(store, tuple(garbage), yes, tuple(notes))


def refer(store: Store, keep_weights: int | None = None) -> tuple[References, list[str]]:
    """Returns what the sweeps of a store need, and notes on those of which it cannot be told."""
    needed: set[str] = set()
    keepers: dict[str, str] = {}
    mentions: list[Mention] = []
    for name in _sweeps(store):
        store.fetch_sweep(name)
        place = study_place(store, name)
        found = read_mentions(place)
        if not found and (isinstance(place, Database) or isinstance(store, ObjectStore)):
            keepers[name] = f"no trial of it is found in {place}"  # perhaps it is in another database
        lost = _lost(place)
        if lost:
            keepers[name] = f"its study is not in {place}, or not all of it, which should hold {lost[0]}"
        for mention in found:
            mentions.append(mention)
            if mention.state in FINISHED and not mention.stages:
                keepers[name] = "its study does not say which stages a trial had"
        try:
            needed |= _planned(store, name)
        except (AssetError, ValueError, OSError) as error:
            keepers[name] = f"its spec cannot be laid out now ({str(error).splitlines()[0]})"
    needed |= {address for mention in mentions for address in (*mention.students, *mention.baselines)}
    references = References(
        needed=frozenset(needed),
        keepers=frozenset(keepers),
        given_up=_given_up(mentions),
        without_weights=_without_weights(mentions, keep_weights),
    )
    return references, [f"all that sweep {name!r} made is kept: {why}" for name, why in keepers.items()]


def read_mentions(place: Place) -> list[Mention]:
    """Returns every trial and confirmation of every study of a sweep, of whatever generation; writes nothing.

    Raises:
        ValueError: they cannot be read.
        StoreUnavailableError: the database does not answer.
    """
    try:
        with reading_errors(place):
            return _mentions(place)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{place} cannot be read, so nothing was removed: {type(error).__name__}: {error}") from error


def _lost(place: Place) -> list[str]:
    """Returns the Optuna studies that the sweep's folder names and `place` lacks."""
    opened = open_to_read(place)
    there = opened.names() if opened else []
    return [name for name in load_names(folder_of(place)) if name not in there]


def _mentions(place: Place) -> list[Mention]:
    opened = open_to_read(place)
    studies = [opened.load(name) for name in opened.names()] if opened else []
    trials = [_mention(study.study_name, trial) for study in studies for trial in study.get_trials(deepcopy=False)]
    confirmations = [
        Mention(study.study_name, _CONFIRMATION_STATES[made.state], None, made.stages)
        for study in studies
        for made in confirmations_in(study.user_attrs).values()
    ]
    return trials + confirmations


def _mention(study: str, trial: FrozenTrial) -> Mention:
    stages: dict[str, list[str]] = from_json(trial.user_attrs.get("stages", "{}"))
    value = trial.value if trial.state == TrialState.COMPLETE else None
    return Mention(study, trial.state, value, {role: tuple(addresses) for role, addresses in stages.items()})


def _planned(store: Store, name: str) -> set[str]:
    """What the sweep's present spec will ask for first: an interrupted sweep's features are in no trial yet."""
    if not (store.sweep_folder(name) / "sweep.yaml").is_file():
        return set()
    parts = Parts(load_spec(store, name))
    fresh = plan_stages(parts.with_fresh_seeds()) if parts.sweep.search.confirm else []
    return {stage.address for stage in walk(*plan_stages(parts), *fresh)}


def _given_up(mentions: list[Mention]) -> frozenset[str]:
    return _students(mentions, pruned=True) - _students(mentions, pruned=False)


def _without_weights(mentions: list[Mention], keep: int | None) -> frozenset[str]:
    if keep is None:
        return _given_up(mentions)
    ended = {a for mention in mentions if mention.state in FINISHED for a in mention.students}
    still_open = {a for mention in mentions if mention.state not in FINISHED for a in mention.students}
    return frozenset(ended) - still_open - set(_best(mentions, keep))


def _best(mentions: list[Mention], keep: int) -> Iterator[str]:
    """Yields the stages of the best `keep` distinct students of each study, which holds one pairing."""
    by_study: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for mention in mentions:
        if mention.value is not None:
            by_study[mention.study][mention.students] = mention.value
    for values in by_study.values():
        for students in sorted(values, key=lambda one: -values[one])[:keep]:
            yield from students


def _students(mentions: Iterable[Mention], *, pruned: bool) -> frozenset[str]:
    return frozenset(a for m in mentions if (m.state == TrialState.PRUNED) == pruned for a in m.students)


def _found(store: Store, references: References) -> list[Garbage]:
    if isinstance(store, ObjectStore):
        return find_garbage_in_bucket(store, references)
    return find_garbage(store, references)


def _remove(store: Store, one: Garbage) -> None:
    remove_from_bucket(store, one) if isinstance(store, ObjectStore) else remove(store, one)


def _sweeps(store: Store) -> list[str]:
    if isinstance(store, ObjectStore):
        return store.objects.folders("sweeps/")
    folder = store.root / "sweeps"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _must_be_alone(store: Store, sweeps: list[str]) -> None:
    began = sorted(set(_sweeps(store)) - set(sweeps))
    if began:
        raise SweepInUseError(f"sweep {began[0]!r} began while gc was at work, which stopped; call it again later")
