"""What in a store in a bucket nobody needs; the rules are those of `collect`.

A listing says what may go, and nothing else rests on it. What a writer may be sending just now is younger than a day.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from w2s_ray.stages.artifacts import WEIGHTS
from w2s_ray.stages.collect import Garbage, References, with_inputs, without_file
from w2s_ray.stages.locks import server_time
from w2s_ray.stages.object_store import ObjectStore, attempt_in, marker_key, whole_in
from w2s_ray.stages.objects import Meta, in_parallel
from w2s_ray.stages.record import RECORD, DamageError, StageRecord

_DAY = 24 * 3600.0
_Keys = Mapping[str, Meta]


def find_garbage_in_bucket(store: ObjectStore, references: References) -> list[Garbage]:
    """Returns all that nobody needs, and removes nothing. The paths are keys, or what they begin with.

    Raises:
        StoreUnavailableError: the store cannot be read.
    """
    keys, now = store.objects.listing(""), server_time(store.objects)
    old = {key for key, meta in keys.items() if now - meta.modified > _DAY}
    marked = [key.split("/")[1] for key in keys if key.startswith("stages/") and key.endswith(f"/{RECORD}")]
    found = in_parallel(lambda address: store.objects.get(marker_key(address)), marked)
    contents = dict(zip(marked, found, strict=True))
    records = {address: whole_in(content, address) for address, content in contents.items()}
    needed = with_inputs(references, records)
    return [
        *(_garbage("stage", f"stages/{one}", keys, "no sweep refers to it") for one in records if one not in needed),
        *_weights(keys, contents, records, needed & references.without_weights),
        *_drafts(keys, contents, old),
        *_work(keys, records, references, needed),
        *(_garbage("aside", key, keys, "was found damaged") for key in keys if key.startswith("aside/")),
        *(_garbage("scratch", key, keys, "a look at the clock") for key in old if key.startswith("clock/")),
    ]


def remove_from_bucket(store: ObjectStore, garbage: Garbage) -> None:
    """Removes one thing, a stage's marker before its files; what is already gone is no error."""
    key, objects = str(garbage.path), store.objects
    if garbage.kind == "weights":
        return _drop_weights(store, key)
    if garbage.kind == "stage":
        objects.delete(marker_key(garbage.path.name))
        shutil.rmtree(store.place(garbage.path.name), ignore_errors=True)
    return objects.delete(*(objects.listing(key) or [key]))


def _weights(
    keys: _Keys,
    contents: Mapping[str, bytes | None],
    records: Mapping[str, StageRecord | None],
    addresses: set[str],
) -> Iterator[Garbage]:
    for address in sorted(addresses):
        content, record = contents.get(address), records.get(address)
        if content is not None and record is not None and WEIGHTS in record.files:
            key = f"stages/{address}/{attempt_in(content)}/{WEIGHTS}"
            yield _garbage("weights", key, keys, "of a pruned student, or not among the best")


def _drop_weights(store: ObjectStore, key: str) -> None:
    """The record says so first, so that the stage stays whole."""
    address = key.split("/")[1]
    content = store.objects.get(marker_key(address))
    record = whole_in(content, address)
    if content is not None and record is not None:
        smaller = {**json.loads(without_file(record, WEIGHTS).to_json()), "attempt": attempt_in(content)}
        store.objects.put(marker_key(address), json.dumps(smaller, indent=1).encode())
    store.objects.delete(key)
    shutil.rmtree(store.place(address), ignore_errors=True)


def _drafts(keys: _Keys, contents: Mapping[str, bytes | None], old: set[str]) -> Iterator[Garbage]:
    """Yields the files of writers that were killed, or that came second and could not remove theirs."""
    attempts: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        parts = key.split("/")
        if parts[0] == "stages" and len(parts) == 4:
            attempts["/".join(parts[:3])].append(key)
    for prefix, of_it in attempts.items():
        _, address, attempt = prefix.split("/")
        content = contents.get(address)
        if (content is None or _own(content) not in (None, attempt)) and old.issuperset(of_it):
            yield _garbage("draft", prefix, keys, "untouched for a day")


def _work(
    keys: _Keys, records: Mapping[str, StageRecord | None], references: References, needed: set[str]
) -> Iterator[Garbage]:
    for address in sorted({key.split("/")[1] for key in keys if key.startswith("work/")}):
        if records.get(address) is not None:
            why = "the stage is finished"
        elif address in references.given_up:
            why = "the student was pruned"
        elif address not in needed and not references.keepers:
            why = "no sweep refers to it"
        else:
            continue
        yield _garbage("checkpoint", f"work/{address}", keys, why)


def _garbage(kind: str, key: str, keys: _Keys, why: str) -> Garbage:
    size = sum(meta.size for one, meta in keys.items() if one == key or one.startswith(f"{key}/"))
    return Garbage(kind, Path(key), size, why)


def _own(content: bytes) -> str | None:
    """Returns the attempt that a marker names; None if it cannot be told, so that all are kept."""
    try:
        return attempt_in(content)
    except DamageError:
        return None
