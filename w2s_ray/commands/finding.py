"""From what is typed to what is meant: a spec's file with the options applied, or a sweep by its name and store."""

import sys
from pathlib import Path
from typing import Any

from w2s_ray.spec import Search, Sweep, replace, yaml
from w2s_ray.spec.several import Several
from w2s_ray.spec.sweep import DEFAULT_STORE
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store


def load_spec_file(spec: Path) -> Several:
    """Reads a spec. A file that it names is looked for where the command is called, then beside the spec."""
    from w2s_ray.assets import ASSETS

    def found(source: str | None) -> str | None:
        if source is None or source in ASSETS or Path(source).expanduser().exists():
            return source
        return str(spec.parent / source) if (spec.parent / source).exists() else source

    def placed(sweep: Sweep) -> Sweep:
        task = replace(sweep.task, source=found(sweep.task.source), test_source=found(sweep.task.test_source))
        models = {name: replace(model, source=found(model.source)) for name, model in sweep.models.items()}
        return replace(sweep, task=task, models=models)

    several = yaml.load_all(spec)
    return Several(several.name, tuple(map(placed, several.sweeps)))


def with_options(several: Several, store: str | None, trials: int | None) -> Several:
    """Applies the command line's options to every sweep of a file."""
    return Several(several.name, tuple(_with_options(sweep, store, trials) for sweep in several.sweeps))


def _with_options(sweep: Sweep, store: str | None, trials: int | None) -> Sweep:
    """Applies the command line's options to a spec."""
    changes: dict[str, Any] = {"store": store} if store else {}
    if trials:
        changes["search"] = Search.model_validate({**sweep.search.model_dump(), "trials": trials})
    return replace(sweep, **changes)


def store_here(store: str | None) -> Store:
    """Returns the store that was named, or the default one of this directory."""
    return open_store(store or DEFAULT_STORE)


def record_of(name: str, store: str | None) -> Any:
    """Returns the sweep of that name. Raises ValueError if it is the name of a file of several."""
    records, is_one = records_of_name(name, store)
    if not is_one:
        raise ValueError(f"{name} is a file of several sweeps; name one: {', '.join(r.sweep.name for r in records)}")
    return records[0]


def records_of_name(name: str, store: str | None) -> tuple[list[Any], bool]:
    """Returns what `name` stands for, the sweep or the sweeps of a file, and whether it is the name of a sweep."""
    from w2s_ray.search.folder import load_record, load_spec
    from w2s_ray.search.several import kept, records_of

    folder = store_of(name, store)
    several = kept(folder, name)
    if several is not None:
        return records_of(folder, several), False
    return [load_record(folder, load_spec(folder, name))], True


def settled(seen: Any) -> Any:
    """Returns a sweep anew, for one who holds its lease: no driver works on it, whatever it left open."""
    from w2s_ray.search.folder import load_record, load_spec

    store, name = seen.store, seen.sweep.name
    sweep = load_spec(store, name) if name in store.sweeps() else seen.sweep  # one of a file may not have begun
    return load_record(store, sweep, live=False)


def store_of(name: str, store: str | None) -> Store:
    """The store that was named, or the one here; else the only one on this machine that has the sweep."""
    from w2s_ray.search.known_stores import store_with

    here = store_here(store)
    found = here if store else store_with(name, here)
    if found.uri != here.uri:
        print(f"store: {found.uri}", file=sys.stderr)
    return found


def mention_other_stores(several: Several) -> None:
    """Says where a sweep of this name was run before, when it is about to begin anew in this directory."""
    from w2s_ray.search.known_stores import stores_with
    from w2s_ray.search.several import names_in

    here, name = open_store(several.sweeps[0].store), several.name
    for other in [] if name in names_in(here) else stores_with(name, but=here)[:1]:
        print(f"a sweep {name!r} is in {other.uri} too; --store {other.uri} carries on there", file=sys.stderr)
