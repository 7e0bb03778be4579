"""How a driver begins: the study is opened or made, and the spec kept beside it."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from w2s_ray.methods import Parts
from w2s_ray.search.folder import load_spec, save_spec, study_place
from w2s_ray.search.in_bucket import must_suit
from w2s_ray.search.known_stores import remember
from w2s_ray.search.naming import load_names
from w2s_ray.search.place import ENVIRONMENT, study_url
from w2s_ray.search.progress import Progress
from w2s_ray.search.rounds import clear_scratch
from w2s_ray.search.study import Study
from w2s_ray.spec import Sweep
from w2s_ray.stages.errors import store_errors
from w2s_ray.stages.store import Store


def begin(parts: Parts, store: Store, progress: Progress, warm_start: str | None, be_sure: Callable[[], None]) -> Study:
    """Opens the study, then keeps the spec: what refuses the run leaves the sweep as it was, and a kill whole."""
    sweep = parts.sweep
    with store_errors(store.root, "opening the study"):
        must_suit(store, sweep)
        study = _open_study(parts, store, progress, warm_start, be_sure)
        save_spec(store, sweep)
        remember(store)
        clear_scratch(store, sweep.name)  # of a driver that was killed
    return study


def _open_study(
    parts: Parts, store: Store, progress: Progress, warm_start: str | None, be_sure: Callable[[], None]
) -> Study:
    sweep = parts.sweep
    if warm_start and not load_names(store.sweep_folder(warm_start)):
        raise ValueError(f"no sweep {warm_start!r} to start from in {store.uri}; there: {', '.join(store.sweeps())}")
    other = (study_place(store, warm_start), warm_start) if warm_start else None
    had_one = bool(load_names(store.sweep_folder(sweep.name)))
    place = study_place(store, sweep.name, sweep.search.storage)
    if isinstance(place, Path) and study_url(sweep.search.storage):
        progress.say(f"the study stays in the journal it began in; {ENVIRONMENT} and search.storage are for new ones")
    study = Study(parts, place, other, be_sure)
    if warm_start and not study.is_new:
        progress.say(
            f"{sweep.name} goes on with its own study; --warm-start is for new ones, and {warm_start} is not read"
        )
    if study.is_new and (had_one or other):
        progress.say(
            f"the spec begins a new study{_why(store, sweep)}: {study.seeded} finished trials mean the same in it and "
            f"come first, {study.left_aside} do not and stay aside with the old one"
        )
    return study


def _why(store: Store, sweep: Sweep) -> str:
    """Returns which parts of the spec that is still kept are others in the new one; empty where there is none."""
    with contextlib.suppress(ValueError, LookupError):
        old = load_spec(store, sweep.name)
        searched = ("task", "models", "pairings", "methods", "space", "seeds", "objective")
        changed = [part for part in searched if getattr(old, part) != getattr(sweep, part)]
        return f", since {' and '.join(changed) or 'a file that it names'} changed"
    return ""
